"""Decoding: one draft-verify-accept loop, token rules, acceptance, timestamps and guards."""
