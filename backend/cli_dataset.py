"""`python -m backend dataset`: see what the shape programs make (`procedural`), or what is wrong with a
folder (`check`)."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import SettingError

if TYPE_CHECKING:
    from backend.datasets.base import Problem
    from backend.datasets.layouts import Checked

_SHOWN = 50
"""Problems listed one by one."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("name", choices=("procedural", "check"), help="the shape programs, or a check of a folder")
    add("folder", nargs="?", type=Path, help="check: the data set's folder (or IM-NET's .hdf5 file)")
    add("--split", default="train", metavar="NAME", help="check: the list of shapes to check (train)")
    add("--limit", type=int, default=0, metavar="N", help="check: only the first N shapes (all)")
    add("--sheet", type=Path, metavar="FILE", help="write a contact sheet of random shapes (PNG)")
    add("--categories", default="", metavar="LIST", help="names with commas between them (all)")
    add("--columns", type=int, default=12, metavar="N", help="shapes per category on the sheet (12)")
    add("--seed", type=int, default=0, metavar="N", help="of the shapes on the sheet (0)")
    add("--vocabulary", type=Path, metavar="FILE", help="write the page of all words (Markdown)")


def run(arguments: argparse.Namespace) -> int:
    """Write what was asked for, or tell what is wrong; returns 0, or 2 where something serious is wrong."""
    if arguments.name == "check":
        return _check(arguments)
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


def _check(arguments: argparse.Namespace) -> int:
    from backend.cli_train import show_progress
    from backend.datasets.base import DataSettings
    from backend.datasets.layouts import check_dataset

    if arguments.folder is None:
        raise SettingError("No folder is given.", remedy="Call `dataset check DIR`.")
    chosen = DataSettings.from_dict(
        {"folder": str(arguments.folder), "split": arguments.split, "limit": arguments.limit}
    )
    data, reading = check_dataset(chosen)
    out = sys.stdout.write
    if data is not None:
        out(f"Layout: {data.title}. {data.contents()}\n")
    found: list[Problem] = []
    shapes = len(data) if data is not None else 0
    show_progress("checked", _collect(reading, found), shapes, lambda n: (n, ""))
    for problem in found[:_SHOWN]:
        out(f"{'PROBLEM' if problem.serious else 'note'}: {problem.message} {problem.remedy}\n")
    if len(found) > _SHOWN:
        out(f"... and {len(found) - _SHOWN} more.\n")
    serious = sum(problem.serious for problem in found)
    out(f"{serious} problem{'' if serious == 1 else 's'}.\n" if serious else "Nothing is wrong.\n")
    return 2 if serious else 0


def _collect(reading: "Iterator[Checked]", found: "list[Problem]") -> Iterator[int]:
    for checked in reading:
        found.extend(checked.problems)
        yield checked.done
