"""What the forms of `evaluate` share: common options, the judges' references, the ruler, writing."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import DatasetError, SettingError

if TYPE_CHECKING:
    from backend.bundles import Bundle
    from backend.clip_encoder import ClipEncoder
    from backend.judges.category import References
    from backend.measures.ruler import Ruler
    from backend.recipe import Recipe

REPORT, SHEET = "report.json", "sheet.png"
DEFAULT_REFERENCES, LEAST_REFERENCES = 84, 30
SAMPLE_SIZES = ("shapes", "views", "view_size", "points")
NET_SIZES = {"net_steps": "steps"}
MEASURE_SIZES = (*SAMPLE_SIZES, *NET_SIZES)
"""Of --size: what the measures see, and how long their features are trained."""


def add_common(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Options of every form. again: the parser is a form's own, and leaves what it is not given."""

    def add(name: str, default: Any, **options: Any) -> None:
        parser.add_argument(name, default=argparse.SUPPRESS if again else default, **options)

    add("--prompts", None, type=Path, metavar="FILE", help="CSV file with the columns prompt,category,color")
    add("--out", None, type=Path, metavar="DIR", help="folder for the report")
    add("--seed", 0, type=int, metavar="N", help="seed of every result (0)")
    add("--preset", "normal", metavar="NAME", help="quality: draft, normal or fine (normal)")
    add("--device", "auto", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps (auto)")
    add("--threads", 0, type=int, metavar="N", help="CPU threads (as torch chooses)")
    add(
        "--references",
        DEFAULT_REFERENCES,
        type=int,
        metavar="N",
        help=f"true shapes per category for the judge, {LEAST_REFERENCES} or more ({DEFAULT_REFERENCES})",
    )
    add("--size", [], action="append", metavar="NAME=N", help="how much to measure; unknown names are told")
    add("--judge-clip", None, metavar="BUNDLE", help="its CLIP judges, not that of the bundle")
    add("--inception", None, type=Path, metavar="FILE", help="Inception v3 weights for the FID")
    add("--reference-images", None, type=Path, metavar="DIR", help="pictures that the FID compares with")
    add("--reference-shapes", None, type=Path, metavar="DIR", help="meshes that the FPD compares with")
    add("--cache", None, type=Path, metavar="DIR", help="folder that keeps references (~/.iss/cache)")


def check_common(arguments: argparse.Namespace) -> None:
    """Refuse what can be refused before any work."""
    from backend.results import check_output

    if arguments.out is None:
        raise SettingError("There is no folder for the report.", remedy="Give --out DIR.")
    if arguments.references < LEAST_REFERENCES:
        raise SettingError(
            f"--references is {arguments.references}.",
            remedy=f"Use at least {LEAST_REFERENCES} per category.",
        )
    if find_spec("numba") is None:
        raise DatasetError(
            "The procedural shapes need numba, which is not installed.",
            remedy='Install the packages for training: `pip install -e ".[train]"`.',
        )
    if arguments.inception is not None and not arguments.inception.is_file():
        raise DatasetError(f"There is no file {arguments.inception}.", remedy="Check --inception.")
    for folder in (arguments.reference_images, arguments.reference_shapes):
        if folder is not None and not folder.is_dir():
            raise DatasetError(f"There is no folder {folder}.", remedy="Check the reference options.")
    check_output(arguments.out)


def sizes_of(arguments: argparse.Namespace) -> dict[str, int]:
    """The numbers given by --size; SettingError for anything else."""
    values = {}
    for given in arguments.size:
        name, _, number = given.partition("=")
        if not number.isdigit():
            raise SettingError(f"--size {given!r} is not NAME=N.", remedy="For example --size prompts=48.")
        values[name] = int(number)
    return values


def check_sizes(arguments: argparse.Namespace, known: Iterable[str]) -> None:
    """SettingError for a --size that says nothing here."""
    names = sorted(known)
    if strange := sorted(set(sizes_of(arguments)) - set(names)):
        raise SettingError(f"There is no size {strange[0]!r}.", remedy=f"Use: {', '.join(names)}.")


def cache_of(arguments: argparse.Namespace) -> Path:
    """The folder that keeps what was drawn."""
    from backend.evaluation_cache import default_cache

    return arguments.cache or default_cache()


def load(arguments: argparse.Namespace, name: str = "") -> "tuple[Bundle, Recipe]":
    """A bundle, by default that of --bundle, and the recipe that all its results share."""
    from backend.bundle_places import resolve_bundle
    from backend.bundles import load_bundle
    from backend.device import resolve_device
    from backend.recipe import Recipe, apply_preset

    folder = resolve_bundle(name or arguments.bundle)
    bundle = load_bundle(folder, device=resolve_device(arguments.device))
    settings = apply_preset(bundle.settings, arguments.preset)
    recipe = Recipe(settings=settings, device=arguments.device, threads=arguments.threads)
    return bundle, recipe


def cached_references(count: int, *, seed: int, cache: Path | None) -> "References":
    """`count` true shapes per category for the judges, drawn once and then read from the cache."""
    from backend.evaluation_cache import Arrays, cached
    from backend.judges import category

    def draw() -> Arrays:
        say(f"drawing {count} fresh shapes per category for the judges")
        return dict(vars(category.build_references(count, seed=seed)))

    return category.References(**cached(cache, "references", {"count": count, "seed": seed}, draw))


def make_measures(
    arguments: argparse.Namespace, references: "References", categories: tuple[str, ...] = ()
) -> "Ruler":
    """The ruler that the options ask for; `--size` may name MEASURE_SIZES."""
    from backend.datasets.procedural.categories import CATEGORIES
    from backend.measures.feature_nets import NetSettings
    from backend.measures.ruler import MeasureSettings, make_ruler
    from backend.measures.samples import SampleSettings
    from backend.measures.user_reference import read_pictures, read_point_sets

    given = sizes_of(arguments)
    samples = SampleSettings.from_dict({name: given[name] for name in SAMPLE_SIZES if name in given})
    nets = NetSettings.from_dict({own: given[name] for name, own in NET_SIZES.items() if name in given})
    images, shapes = arguments.reference_images, arguments.reference_shapes
    pictures = read_pictures(images, samples.view_size) if images else None
    sets = read_point_sets(shapes, samples.points, samples.seed) if shapes else None
    say("drawing true shapes and training the features of the measures, where the cache lacks them")
    return make_ruler(
        references, MeasureSettings(samples, nets), categories=categories or tuple(CATEGORIES),
        cache=cache_of(arguments), inception=arguments.inception, pictures=pictures, point_sets=sets,
    )  # fmt: skip


def judging_clip(arguments: argparse.Namespace, bundle: "Bundle") -> "ClipEncoder":
    """The CLIP of --judge-clip, or of the bundle."""
    return load(arguments, arguments.judge_clip)[0].clip if arguments.judge_clip else bundle.clip


def warn_of_few(measures: Mapping[str, Any]) -> None:
    """Say so where FID and FPD come from too few results to mean much."""
    if not measures["enough_for_frechet"]:
        say("FID and FPD of so few results are mostly bias: compare them only within this table.")


def write_report(folder: Path, report: Mapping[str, Any], sheet: Any = None) -> None:
    """Write report.json, and sheet.png where there is one."""
    from backend.output_file import write_file
    from backend.rendering.turntable import save_png

    if sheet is not None:
        save_png(sheet, folder / SHEET)
    write_file(folder / REPORT, (json.dumps(report, indent=2) + "\n").encode())


def say(message: str) -> None:
    """A line about how far things are."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
