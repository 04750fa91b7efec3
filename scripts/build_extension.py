"""Builds the extension's zip without Blender: the files that blender_manifest.toml does not exclude.

The zip is the same, byte for byte, for the same files: sorted names, one fixed date. Blender's own
`extension build` packs the same files.

    python3 scripts/build_extension.py --out dist
"""

import argparse
import fnmatch
import os
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIXED_DATE = (2026, 1, 1, 0, 0, 0)


def build(out: Path, *, root: Path = ROOT) -> Path:
    """Write ID-VERSION.zip into the folder `out` and return its path."""
    manifest = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{manifest['id']}-{manifest['version']}.zip"
    temporary = path.with_suffix(".part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in shipped_files(root, manifest["build"]["paths_exclude_pattern"]):
            entry = zipfile.ZipInfo(name, FIXED_DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, (root / name).read_bytes())
    os.replace(temporary, path)
    return path


def shipped_files(root: Path, patterns: Sequence[str]) -> Iterator[str]:
    """Names below `root` with forward slashes, sorted, that no pattern excludes.

    Of git's ignore rules it knows what the manifest uses: a leading slash (only at the top), a trailing
    slash (folders only), and wildcards in one name.
    """
    kept = []
    for folder, names, files in os.walk(root):
        at_top = Path(folder) == root
        names[:] = [name for name in names if not _excluded(name, patterns, at_top=at_top, is_folder=True)]
        for name in files:
            if not _excluded(name, patterns, at_top=at_top, is_folder=False):
                kept.append((Path(folder) / name).relative_to(root).as_posix())
    yield from sorted(kept)


def _excluded(name: str, patterns: Sequence[str], *, at_top: bool, is_folder: bool) -> bool:
    return any(
        fnmatch.fnmatchcase(name, pattern.strip("/"))
        for pattern in patterns
        if (at_top or not pattern.startswith("/")) and (is_folder or not pattern.endswith("/"))
    )


def main() -> int:
    """Build, and say where the zip is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    path = build(parser.parse_args().out)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
