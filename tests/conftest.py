"""Shared fixtures: where the real clips are, and a store of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

CLIPS = Path(__file__).parent / "clips"


@pytest.fixture
def clips() -> Path:
    return CLIPS
