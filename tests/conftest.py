"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Shared machines stall; and a change must not fail for an example that another run did not draw.
settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("default")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real, openly licensed imagery beside the repository; the test skips without it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real imagery at {folder}")
    return folder
