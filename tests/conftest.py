"""Fixtures shared by all tests: where the reference tensors are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _reference_dir() -> Path:
    named = os.environ.get("ISS_REFERENCE_DIR")
    if named:
        return Path(named)
    shared = ROOT.parent / "shared" / "reference"
    return shared if shared.is_dir() else ROOT / "tests" / "reference"


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Folder of the reference archives: ISS_REFERENCE_DIR, else ../shared/reference, else tests/reference."""
    return _reference_dir()
