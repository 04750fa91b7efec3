"""`python -m backend dataset procedural`: see what the shape programs make, and list their words."""

import argparse
import sys
from pathlib import Path

from backend.errors import SettingError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("name", choices=("procedural",), help="the data set")
    add("--sheet", type=Path, metavar="FILE", help="write a contact sheet of random shapes (PNG)")
    add("--categories", default="", metavar="LIST", help="names with commas between them (all)")
    add("--columns", type=int, default=12, metavar="N", help="shapes per category on the sheet (12)")
    add("--seed", type=int, default=0, metavar="N", help="of the shapes on the sheet (0)")
    add("--vocabulary", type=Path, metavar="FILE", help="write the page of all words (Markdown)")


def run(arguments: argparse.Namespace) -> int:
    """Write what was asked for; returns 0."""
    if arguments.sheet is None and arguments.vocabulary is None:
        raise SettingError("There is nothing to do.", remedy="Give --sheet FILE, --vocabulary FILE or both.")
    if not 1 <= arguments.columns <= 100:
        raise SettingError(f"--columns is {arguments.columns}.", remedy="Choose 1 to 100.")
    if arguments.sheet is not None:
        import numpy as np

        from backend.datasets.procedural.categories import CATEGORIES
        from backend.datasets.procedural.sheet import contact_sheet
        from backend.rendering.turntable import save_png

        names = [name.strip() for name in arguments.categories.split(",") if name.strip()] or list(CATEGORIES)
        unknown = [name for name in names if name not in CATEGORIES]
        if unknown:
            raise SettingError(
                f"There is no category {', '.join(unknown)}.", remedy=f"Choose from {', '.join(CATEGORIES)}."
            )
        sheet = contact_sheet(names, columns=arguments.columns, seed=arguments.seed)
        save_png(np.asarray(sheet), arguments.sheet)
        sys.stdout.write(f"{arguments.sheet}\n")
    if arguments.vocabulary is not None:
        from backend.datasets.procedural.vocabulary import vocabulary_page
        from backend.output_file import write_file

        write_file(arguments.vocabulary, vocabulary_page().encode())
        sys.stdout.write(f"{arguments.vocabulary}\n")
    return 0
