"""`python -m backend stylize`: a result's folder and a style to another such folder.

The recipe of the new result holds the whole chain, so `generate --recipe` repeats it; the tuned decoder lies
beside it, so it can be styled further.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli_progress import ProgressDisplay, StopRequest
from backend.recipe import Style, check_prompt, read_recipe

if TYPE_CHECKING:
    from backend.bundles import Bundle
    from backend.style_chain import Shape


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; what is left out is the bundle's own."""
    add = parser.add_argument
    add("result", type=Path, metavar="RESULT_DIR", help="folder that `generate` or `stylize` wrote")
    add("--style", required=True, metavar="TEXT", help='the look, for example "wooden" or "zebra"')
    add("--mode", choices=("texture", "shape-texture"), default="texture", help="what changes (texture)")
    add("--strength", type=float, default=1.0, metavar="S", help="0.05 to 4: how far from the original (1)")
    add("--steps", type=int, metavar="N", help="iterations of tuning")
    add("--seed", type=int, default=0, metavar="N", help="0 or greater (0)")
    add("--out", type=Path, metavar="DIR", help="folder for the result (RESULT_DIR-STYLE)")
    add("--bundle", metavar="NAME", help="model bundle, by name or folder (the result's own)")
    add("--format", default="glb,ply", metavar="LIST", help="mesh files: glb,ply or one of them")
    add("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps (the result's own)")
    add("--allow-download", action="store_true", help="let open_clip fetch weights that a bundle only names")
    add("--quiet", action="store_true", help="no progress")


def run(arguments: argparse.Namespace) -> int:
    """Stylize; returns 0, or 130 after Ctrl-C (with the best result so far written)."""
    style = Style(
        style=check_prompt(arguments.style),
        mode=arguments.mode,
        strength=arguments.strength,
        seed=arguments.seed,
    )
    read_recipe(arguments.result / "result.json")
    with StopRequest("Stopping with the best result so far; Ctrl-C again stops at once.") as stop:
        # Heavy from here on: torch and the models.
        from backend.bundle_places import resolve_bundle
        from backend.bundles import load_bundle, memory_needed, read_record
        from backend.device import require_memory, resolve_device
        from backend.results import check_formats, check_output
        from backend.style_chain import Shape, read_shape

        formats = check_formats(tuple(part.strip() for part in arguments.format.split(",") if part.strip()))
        folder = arguments.out or _beside(arguments.result, style.style)
        check_output(folder)
        shape = read_shape(arguments.result)
        recipe = shape.recipe.replace(bundle=arguments.bundle, device=arguments.device)
        device = resolve_device(recipe.device)
        place = resolve_bundle(recipe.bundle)
        require_memory(memory_needed(read_record(place)))
        bundle = load_bundle(place, device=device, allow_download=arguments.allow_download)
        settings = bundle.settings.stylize.replace(steps=arguments.steps)
        style = style.replace(settings=settings)
        _stylize_one(
            bundle, Shape(recipe, shape.code, shape.delta), style, folder, formats, stop, arguments.quiet
        )
        return 130 if stop() else 0


def _stylize_one(
    bundle: "Bundle",
    shape: "Shape",
    style: Style,
    folder: Path,
    formats: tuple[str, ...],
    stop: StopRequest,
    quiet: bool,
) -> None:
    from backend.results import write_result
    from backend.style_chain import result_files, stylize

    work = stylize(bundle, shape, style, stop=stop)
    with ProgressDisplay(shape.recipe.settings, quiet=quiet, styles=1, shape_known=True) as display:
        result = display.follow(work)
    paths = write_result(result, folder, formats=formats, files=result_files(result))
    if not quiet:
        seconds = sum(result.seconds.values())
        before, after = result.scores[0], result.scores[result.best_step]
        sys.stdout.write(f"styled in {seconds:.1f} s, score {before:.3f} before, {after:.3f} after\n")
        sys.stdout.writelines(f"{path}\n" for path in paths)


def _beside(result: Path, style: str) -> Path:
    """The default folder: the result's own name and the style's words."""
    words = re.sub(r"[^a-z0-9]+", "-", style.lower()).strip("-")[:40] or "styled"
    whole = result.absolute()
    return whole.with_name(f"{whole.name}-{words}")
