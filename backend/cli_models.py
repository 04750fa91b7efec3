"""`python -m backend models`: the bundles that are installed, and whether their files are sound."""

import argparse
import sys


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="do not check the files' hashes")


def run(arguments: argparse.Namespace) -> int:
    """Print one paragraph per bundle; 2 where one is damaged, else 0."""
    from backend.bundle_places import bundle_folders, find_bundles
    from backend.bundles import read_record, verify_bundle
    from backend.errors import BundleError

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
    return 2 if damaged else 0
