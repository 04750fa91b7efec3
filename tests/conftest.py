"""Fixtures shared by all tests: where the reference tensors are."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _reference_dir() -> Path:
    named = os.environ.get("ISS_REFERENCE_DIR")
    if named:
        return Path(named)
    shared = ROOT.parent / "shared" / "reference"
    return shared if shared.is_dir() else ROOT / "tests" / "reference"


@contextmanager
def _skipped_where_not_carried() -> Generator[None]:
    """tests/reference carries the small archives only; what needs another one says that it did not run."""
    try:
        yield
    except FileNotFoundError as error:
        carried = ROOT / "tests" / "reference"
        missing = Path(str(error.filename))
        if missing.parent != carried or _reference_dir() != carried:
            raise
        pytest.skip(f"NOT CHECKED: {missing.name} is not carried; name its folder in ISS_REFERENCE_DIR")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    with _skipped_where_not_carried():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    with _skipped_where_not_carried():
        return (yield)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Folder of the reference archives: ISS_REFERENCE_DIR, else ../shared/reference, else tests/reference."""
    return _reference_dir()
