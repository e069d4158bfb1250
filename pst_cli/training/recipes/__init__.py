"""Recipes: from what was asked for, through one run of `fit`, to weights with their card."""
