"""`python -m backend generate`: a prompt, an image or both to a folder with meshes, preview and recipe.

Nothing heavy is imported before the request was checked as far as that goes without the model.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli_progress import ProgressDisplay, StopRequest
from backend.errors import SettingError
from backend.recipe import (
    PRESETS,
    Recipe,
    apply_preset,
    change_settings,
    check_prompt,
    read_recipe,
    variations,
)

if TYPE_CHECKING:
    from backend.bundles import Bundle
    from backend.config import PipelineSettings

_FIXED_BY_RECIPE = (
    "prompt", "seed", "preset", "steps", "views", "view_size", "mesh_resolution", "max_faces",
    "diversity", "image", "precision", "threads", "device", "variations",
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; what is left out is the bundle's own."""
    add = parser.add_argument
    add("prompt", nargs="?", help='what to make, for example "a red chair with a high back"')
    add("--out", type=Path, default=Path("out"), metavar="DIR", help="folder for the result (out)")
    add("--image", metavar="FILE", help="an image instead of, or with, the prompt")
    add("--seed", type=int, metavar="N", help="0 or greater (0)")
    add("--variations", type=int, metavar="N", help="results with the seeds seed, seed + 1, ... (1)")
    add("--diversity", type=float, metavar="S", help="strength of differences between seeds (1)")
    add("--preset", choices=list(PRESETS), help="quality (normal)")
    add("--bundle", metavar="NAME", help="model bundle, by name or folder (starter)")
    add("--steps", type=int, metavar="N", help="iterations of text guidance")
    add("--views", type=int, metavar="N", help="views per iteration")
    add("--view-size", type=int, metavar="PIXELS", help="side of a view")
    add("--mesh-resolution", type=int, metavar="N", help="grid cells per axis")
    add("--max-faces", type=int, metavar="N", help="face budget, 0 keeps all")
    add("--format", default="glb,ply", metavar="LIST", help="mesh files: glb,ply or one of them")
    add("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps (auto)")
    add("--precision", choices=("float32", "bfloat16", "float16"), help="of CLIP on views (float32)")
    add("--threads", type=int, metavar="N", help="CPU threads (as torch chooses)")
    add("--recipe", type=Path, metavar="FILE", help="repeat the result.json of an earlier result")
    add("--allow-download", action="store_true", help="let open_clip fetch weights that a bundle only names")
    add("--quiet", action="store_true", help="no progress")


def run(arguments: argparse.Namespace) -> int:
    """Generate; returns 0, or 130 after Ctrl-C (with the best result so far written)."""
    with StopRequest("Stopping with the best result so far; Ctrl-C again stops at once.") as stop:
        recipe = _checked_recipe(arguments)
        # Heavy from here on: torch and the models.
        from backend.bundle_places import resolve_bundle
        from backend.bundles import load_bundle, memory_needed, read_record
        from backend.device import require_memory, resolve_device
        from backend.results import check_formats, check_output

        formats = check_formats(tuple(part.strip() for part in arguments.format.split(",") if part.strip()))
        check_output(arguments.out)
        device = resolve_device(recipe.device)
        folder = resolve_bundle(recipe.bundle)
        require_memory(memory_needed(read_record(folder)))
        bundle = load_bundle(folder, device=device, allow_download=arguments.allow_download)
        if arguments.recipe is None:
            recipe = recipe.replace(settings=_settings(arguments, bundle.settings))
        wanted = _variations(arguments, recipe)
        places = [arguments.out]
        if len(wanted) > 1:
            places = [arguments.out / f"variation-{number}" for number in range(1, len(wanted) + 1)]
            for place in places:
                check_output(place)
        if stop():
            sys.stderr.write("Stopped before there was a shape; nothing was written.\n")
        for one, place in zip(wanted, places, strict=True):
            if stop():
                break
            _generate_one(bundle, one, place, formats, stop, arguments.quiet)
        return 130 if stop() else 0


def _generate_one(
    bundle: "Bundle",
    recipe: Recipe,
    folder: Path,
    formats: tuple[str, ...],
    stop: StopRequest,
    quiet: bool,
) -> None:
    from backend.results import write_result
    from backend.style_chain import generate_styled, result_files

    work = generate_styled(bundle, recipe, stop=stop)
    with ProgressDisplay(recipe.settings, quiet=quiet, styles=len(recipe.styles)) as display:
        result = display.follow(work)
    paths = write_result(result, folder, formats=formats, files=result_files(result))
    if not quiet:
        seconds = sum(result.seconds.values())
        score = result.scores[result.best_step]
        sys.stdout.write(f"{len(result.mesh.faces)} faces in {seconds:.1f} s, score {score:.3f}\n")
        sys.stdout.writelines(f"{path}\n" for path in paths)


def _checked_recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe as far as the arguments tell it; refuses what can be refused without the model."""
    if arguments.recipe is not None:
        given = [name for name in _FIXED_BY_RECIPE if getattr(arguments, name) is not None]
        if given:
            raise SettingError(
                f"--recipe fixes {', '.join(given)} already.",
                remedy="Leave them out, or leave out --recipe.",
            )
        return read_recipe(arguments.recipe).replace(bundle=arguments.bundle)
    recipe = Recipe().replace(
        prompt=arguments.prompt,
        image=arguments.image,
        seed=arguments.seed,
        diversity=arguments.diversity,
        bundle=arguments.bundle,
        device=arguments.device,
        precision=arguments.precision,
        threads=arguments.threads,
    )
    if recipe.prompt or not recipe.image:
        check_prompt(recipe.prompt)
    _variations(arguments, recipe)
    return recipe


def _variations(arguments: argparse.Namespace, recipe: Recipe) -> list[Recipe]:
    return variations(recipe, 1 if arguments.variations is None else arguments.variations)


def _settings(arguments: argparse.Namespace, own: "PipelineSettings") -> "PipelineSettings":
    """The bundle's settings, changed by the preset and then by single options."""
    return change_settings(
        apply_preset(own, arguments.preset or "normal"),
        {
            "stage2": {
                "steps": arguments.steps,
                "views": arguments.views,
                "view_size": arguments.view_size,
            },
            "mesh": {"resolution": arguments.mesh_resolution, "max_faces": arguments.max_faces},
        },
    )
