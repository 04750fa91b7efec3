"""`python -m backend models`: list, check, install, import and remove model bundles.

Nothing is downloaded without consent: the source, the licence and the size are shown before.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import SettingError

if TYPE_CHECKING:
    from backend.model_store import KnownModel

_LINE_SECONDS = 2.0
"""Least time between two lines of progress."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(quick=False, names=[])
    parser.add_argument("--quick", action="store_true", help="do not check the files' hashes")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="installed bundles and known public checkpoints (the default)")
    listing.add_argument(
        "--quick", action="store_true", default=argparse.SUPPRESS, help="do not check the files' hashes"
    )
    verify = actions.add_parser("verify", help="check the files of bundles against their recorded hashes")
    verify.add_argument("names", nargs="*", metavar="BUNDLE", help="names or folders (all installed ones)")
    install = actions.add_parser("install", help="make a bundle of a known public checkpoint")
    install.add_argument("name", help="as `models list` shows it")
    install.add_argument("--file", type=Path, metavar="FILE", help="use this file, download nothing")
    install.add_argument("--out", type=Path, metavar="BUNDLE", help="folder (in the user's store)")
    install.add_argument("--yes", action="store_true", help="agree to the licence and the download")
    bring = actions.add_parser("import", help="make a bundle of a checkpoint file")
    bring.add_argument("file", type=Path, metavar="FILE")
    bring.add_argument(
        "--as", dest="kind", required=True, metavar="KIND", help="iss, dvr, imnet, ss3d or get3d"
    )
    bring.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to write")
    bring.add_argument("--licence", default="", metavar="TEXT", help="of the weights, for the record")
    bring.add_argument("--scale", type=float, metavar="S", help="GET3D: 0.8 chairs (default), 1.0 cars")
    for command in (install, bring):
        command.add_argument("--mapper", type=Path, metavar="FILE", help="a mapper in a file of its own")
        command.add_argument("--clip-from", metavar="BUNDLE", help="take this bundle's CLIP")
        command.add_argument("--replace", action="store_true", help="replace a bundle of that name")
    remove = actions.add_parser("remove", help="delete a bundle")
    remove.add_argument("name", metavar="BUNDLE", help="name or folder")
    remove.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """The action's exit code."""
    actions = {"install": _install, "import": _import, "remove": _remove, "verify": _verify}
    return actions.get(arguments.action or "list", _list)(arguments)


def _list(arguments: argparse.Namespace) -> int:
    """One paragraph per bundle, then the known checkpoints; 2 where a bundle is damaged."""
    from backend.bundle_places import bundle_folders, find_bundles
    from backend.bundles import read_record, verify_bundle
    from backend.errors import BundleError
    from backend.model_store import KNOWN_MODELS

    found = find_bundles()
    if not found:
        places = ", ".join(str(folder) for folder in bundle_folders())
        sys.stdout.write(f"No bundle is installed. Looked in: {places}.\n")
    damaged = 0
    for name, folder in found.items():
        try:
            record = read_record(folder)
            if not arguments.quick:
                verify_bundle(folder, record)
        except BundleError as error:
            damaged += 1
            sys.stdout.write(f"{name}: DAMAGED. {error}\n")
            continue
        size = sum(int(known["bytes"]) for known in record.files.values()) / 1e6
        sys.stdout.write(
            f"{name}: {record.description or 'no description'}\n"
            f"  {size:.1f} MB in {folder}\n"
            f"  CLIP {record.clip.get('architecture', 'tiny')}, SVR {record.svr.get('kind')}, "
            f"mapper {record.mapper.get('kind', 'none')}, licence {record.licence or 'not stated'}\n"
            f"  categories: {', '.join(record.categories) or 'any'}\n"
        )
    sys.stdout.write("\nPublic checkpoints, for `models install NAME`:\n")
    for model in KNOWN_MODELS.values():
        how = "" if model.url else "; by hand from its page, then --file FILE"
        sys.stdout.write(f"{model.name}: {model.title}\n  {_terms(model)}{how}\n")
    return 2 if damaged else 0


def _terms(model: "KnownModel") -> str:
    size = f"about {model.megabytes} MB or more" if model.megabytes else "size not known"
    return f"{model.page}\n  licence {model.licence}; {size}"


def _verify(arguments: argparse.Namespace) -> int:
    """One line per bundle; 2 where one is damaged."""
    from backend.bundle_places import find_bundles, resolve_bundle
    from backend.bundles import read_record, verify_bundle
    from backend.errors import BundleError

    folders = [resolve_bundle(name) for name in arguments.names] or list(find_bundles().values())
    damaged = 0
    for folder in folders:
        try:
            record = read_record(folder)
            verify_bundle(folder, record)
        except BundleError as error:
            damaged += 1
            sys.stdout.write(f"{folder.name}: DAMAGED. {error}\n")
        else:
            sys.stdout.write(f"{folder.name}: sound, {len(record.files)} files.\n")
    return 2 if damaged else 0


def _install(arguments: argparse.Namespace) -> int:
    from backend.model_store import STORE, check_free, check_known, known_model

    model = known_model(arguments.name)
    out = arguments.out or STORE / "bundles" / model.name
    if arguments.file is None:
        check_free(out, replace=arguments.replace)
        sys.stdout.write(f"{model.title}\n  {_terms(model)}\n")
        if model.url:
            _consent(f"Download {model.url} under this licence?", arguments.yes)
        path = _download(model)
    else:
        path = arguments.file
        if path.is_file() and model.sha256:
            check_known(path, model)
    return _make_bundle(
        path, model.kind, out, arguments, licence=model.licence, description=model.title, **model.options
    )


def _import(arguments: argparse.Namespace) -> int:
    return _make_bundle(
        arguments.file,
        arguments.kind,
        arguments.out,
        arguments,
        licence=arguments.licence,
        scale=arguments.scale,
    )


def _make_bundle(path: Path, kind: str, out: Path, arguments: argparse.Namespace, **options: object) -> int:
    from backend.checkpoint_import import import_checkpoint

    record = import_checkpoint(
        path,
        kind,
        out,
        mapper=arguments.mapper,
        clip_from=arguments.clip_from,
        replace=arguments.replace,
        **options,
    )
    size = sum(int(known["bytes"]) for known in record.files.values()) / 1e6
    sys.stdout.write(f"{record.name}: {size:.1f} MB in {out}\n")
    if not record.mapper:
        sys.stdout.write("It has no mapper yet: run `align` on it before it can be prompted.\n")
    return 0


def _consent(question: str, given: bool) -> None:
    """SettingError without a yes, on the command line or at the terminal."""
    if given:
        return
    if not sys.stdin.isatty():
        raise SettingError(f"{question} Nobody can be asked here.", remedy="Pass --yes to agree.")
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SettingError("Not agreed; nothing was done.", remedy="Answer y, or pass --yes.")


def _download(model: "KnownModel") -> Path:
    """Fetch with a line of progress now and then."""
    from backend.model_store import download

    work, last = download(model), float("-inf")
    while True:
        try:
            done, total = next(work)
        except StopIteration as finished:
            return finished.value
        if time.monotonic() - last >= _LINE_SECONDS or done == total:
            last = time.monotonic()
            of = f" of {total / 1e6:.1f}" if total else ""
            sys.stderr.write(f"downloaded {done / 1e6:.1f}{of} MB\n")


def _remove(arguments: argparse.Namespace) -> int:
    from backend.bundle_places import resolve_bundle
    from backend.model_store import remove_bundle

    folder = resolve_bundle(arguments.name)
    _consent(f"Delete the bundle {folder}?", arguments.yes)
    folder, freed, left = remove_bundle(folder)
    sys.stdout.write(f"Removed {folder}, {freed / 1e6:.1f} MB.\n")
    if left:
        names = ", ".join(path.name for path in left)
        sys.stdout.write(f"Left in it, since they are not the bundle's: {names}\n")
    return 0
