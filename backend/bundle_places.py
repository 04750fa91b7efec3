"""Where model bundles are looked for. Free of torch, so that the list is there before torch is loaded."""

from collections.abc import Iterable
from pathlib import Path

from backend.errors import BundleError

RECORD_NAME = "bundle.json"
SHIPPED_FOLDER = Path(__file__).resolve().parent / "bundled"
"""Where the bundles that ship lie; not `bundles`, which would be this module's own name."""


def bundle_folders(extra: Iterable[Path] = ()) -> list[Path]:
    """Folders that are searched for bundles, first match wins: given ones, the user's, the shipped ones."""
    return [*extra, Path.home() / ".iss" / "bundles", SHIPPED_FOLDER]


def find_bundles(folders: Iterable[Path] | None = None) -> dict[str, Path]:
    """Name -> folder of every bundle with a record, whether sound or not."""
    found: dict[str, Path] = {}
    for parent in bundle_folders() if folders is None else folders:
        for path in sorted(parent.glob(f"*/{RECORD_NAME}")):
            found.setdefault(path.parent.name, path.parent)
    return found


def resolve_bundle(name_or_path: str | Path, *, folders: Iterable[Path] | None = None) -> Path:
    """The folder of a bundle by name or path; BundleError lists the known names."""
    path = Path(name_or_path)
    if (path / RECORD_NAME).is_file():
        return path
    found = find_bundles(folders)
    if str(name_or_path) in found:
        return found[str(name_or_path)]
    names = ", ".join(found) or "none is installed"
    raise BundleError(
        f"There is no bundle {str(name_or_path)!r}.",
        remedy=f"Choose one of: {names}; or give a folder with {RECORD_NAME}.",
    )
