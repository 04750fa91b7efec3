"""`python -m backend batch`: a list of prompts to one folder per result, in this process or on Ray."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from backend.errors import SettingError

_SHEET, _SHEET_ROWS = "contact_sheet.png", 200


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("prompts", type=Path, help="text (a prompt per line), .csv or .json; as scripts/batch.py reads them")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for one folder per result")
    add("--resume", action="store_true", help="leave alone what is there as asked for")
    add(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="workers on Ray: HOST:PORT, auto (this machine's cluster), or local (without an address)",
    )
    add("--workers", type=int, default=0, metavar="N", help="Ray: workers (as many as there is room for)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads of each worker")
    add("--gpus", type=float, default=0.0, metavar="SHARE", help="Ray: GPUs of each worker (0)")
    add("--variations", type=int, default=1, metavar="N", help="seeds per prompt (1)")
    add("--seed", type=int, default=0, metavar="N", help="the first seed of each prompt (0)")
    add("--preset", default="normal", help="draft, normal or fine (normal)")
    add("--bundle", default="starter", metavar="NAME", help="model bundle, by name or folder (starter)")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps (auto)")
    add("--format", default="glb,ply", metavar="LIST", help="mesh files: glb,ply or one of them")
    add("--quiet", action="store_true", help="no progress")


def run(arguments: argparse.Namespace) -> int:
    """Make the batch; 0 when every result is there, 3 when some failed, 130 when stopped."""
    from backend.batch_folder import BatchFolder
    from backend.batch_ledger import Ledger, work_here
    from backend.batch_ray import RaySettings, require_ray, work_on_ray
    from backend.results import check_output
    from iss_blender import batch

    formats = _checked(arguments)
    if arguments.ray:
        require_ray()
    items = _items(arguments, formats)
    check_output(arguments.out)

    def tell(line: str) -> None:
        if not arguments.quiet:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    with BatchFolder(arguments.out.resolve()) as folder:
        ledger = Ledger(folder, items, resume=arguments.resume, tell=tell)
        try:
            if arguments.ray and ledger.queue:
                logging.getLogger("ray").setLevel(logging.ERROR)
                settings = RaySettings(arguments.ray, arguments.workers, arguments.threads, arguments.gpus)
                work_on_ray(ledger, formats, settings, tell)
            else:
                work_here(ledger, formats, arguments.threads)
        except KeyboardInterrupt:
            ledger.write_report(ended=False)
            tell("Stopped; what is done is kept, --resume goes on.")
            return batch.STOPPED
        ledger.write_report(ended=True)
        _write_sheet(arguments.out, ledger.outcomes)
        sys.stdout.write(f"{ledger.summary()}: {arguments.out / batch.REPORT_NAME}\n")
        return ledger.exit_code


def _checked(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The mesh formats; SettingError for any option out of range."""
    from backend.recipe import PRESETS, Recipe, variations
    from backend.results import check_formats

    variations(Recipe(seed=arguments.seed), arguments.variations)
    for name, greatest in (("workers", 1024), ("threads", 256), ("gpus", 64)):
        value = getattr(arguments, name)
        if not 0 <= value <= greatest:
            raise SettingError(f"--{name} is {value}.", remedy=f"Choose 0 to {greatest}.")
    if not arguments.ray and (arguments.workers or arguments.gpus):
        raise SettingError("--workers and --gpus are for Ray.", remedy="Add --ray, or leave them out.")
    if arguments.preset not in PRESETS:
        raise SettingError(
            f"There is no preset {arguments.preset!r}.", remedy=f"Choose one of {', '.join(PRESETS)}."
        )
    return check_formats(tuple(part.strip() for part in arguments.format.split(",") if part.strip()))


def _items(arguments: argparse.Namespace, formats: tuple[str, ...]) -> list[Any]:
    """The plan; SettingError where the list cannot be read."""
    from iss_blender.batch import BatchSettings, plan
    from iss_blender.prompt_list import PromptListError, read_prompts

    settings = BatchSettings(
        formats=formats,
        variations=arguments.variations,
        seed=arguments.seed,
        preset=arguments.preset,
        bundle=arguments.bundle,
        device=arguments.device,
    )
    try:
        return plan(read_prompts(arguments.prompts), settings)
    except PromptListError as problem:
        raise SettingError(problem.message, remedy=problem.remedy) from problem


def _write_sheet(out: Path, outcomes: list[Any]) -> None:
    """A contact sheet of the previews that are there."""
    import numpy as np
    from PIL import Image

    from backend.rendering.turntable import contact_sheet, save_png

    rows = []
    for outcome in outcomes[:_SHEET_ROWS]:
        path = out / outcome.item.stem / "preview.png"
        if outcome.state in ("done", "skipped") and path.is_file():
            with Image.open(path) as picture:
                picture.thumbnail((768, 128))
                rows.append((f"{outcome.item.title} (seed {outcome.item.seed})", [np.asarray(picture)]))
    if rows:
        save_png(contact_sheet(rows), out / _SHEET)
