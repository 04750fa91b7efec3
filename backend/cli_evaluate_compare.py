"""The forms of `evaluate` that set several ways to answer the same prompts side by side."""

import argparse
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli_evaluate_parts import (
    MEASURE_SIZES,
    add_common,
    cache_of,
    cached_references,
    check_common,
    check_sizes,
    judging_clip,
    load,
    make_measures,
    say,
    sizes_of,
    warn_of_few,
    write_report,
)
from backend.errors import SettingError

if TYPE_CHECKING:
    from backend.bundles import Bundle
    from backend.comparison import Judged
    from backend.evaluation import Maker, PromptRow

ABLATIONS, DREAM, FORGE = "ablations", "dream-fields", "clip-forge"
METHODS = (ABLATIONS, DREAM, FORGE)
FORGE_SIZES = {"forge_shapes": "shapes", "forge_steps": "steps"}
DREAM_SIZES = {"dream_steps": "steps", "dream_grid": "grid", "dream_view_size": "view_size"}


def add_compare(forms: Any) -> None:
    """`evaluate compare A B`."""
    parser = forms.add_parser("compare", help="bundles on the same prompts, side by side")
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE", help="two or more, by name or folder")
    parser.add_argument("--measures", action="store_true", default=argparse.SUPPRESS,
                        help="also FID, FPD, R-precision, Chamfer, F-score and IoU")  # fmt: skip
    add_common(parser, again=True)
    parser.set_defaults(run_form=run_compare)


def add_paper_table(forms: Any) -> None:
    """`evaluate paper-table`."""
    parser = forms.add_parser("paper-table", help="the paper's ablations and baselines in one table")
    parser.add_argument("--bundle", default=argparse.SUPPRESS, metavar="NAME", help="bundle (starter)")
    parser.add_argument(
        "--methods", default=",".join(METHODS), metavar="LIST", help=f"of {', '.join(METHODS)}"
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="NAME=BUNDLE",
        help="a row for another bundle, such as one aligned without the background loss",
    )
    parser.add_argument("--work", type=Path, default=Path("runs/paper-table"), metavar="DIR",
                        help="working folder of clip-forge's training (runs/paper-table)")  # fmt: skip
    add_common(parser, again=True)
    parser.set_defaults(run_form=run_paper_table)


def run_compare(arguments: argparse.Namespace) -> int:
    """Judge bundles on the same prompts; returns 0."""
    from backend.evaluation import bundle_maker

    rows = _rows(arguments)
    if len(arguments.bundles) < 2:
        raise SettingError("Only one bundle is named.", remedy="Name two: evaluate compare A B.")
    check_sizes(arguments, MEASURE_SIZES)
    loaded = [load(arguments, name) for name in arguments.bundles]
    names = [bundle.name for bundle, _ in loaded]
    if len(set(names)) < len(names):  # two folders may hold bundles of one name
        names = [str(name) for name in arguments.bundles]
    makers = {name: bundle_maker(*one) for name, one in zip(names, loaded, strict=True)}
    facts = {"bundles": {name: bundle.sha256 for name, (bundle, _) in zip(names, loaded, strict=True)}}
    return _judge_all(arguments, rows, makers, loaded[0][0], facts, measured=arguments.measures)


def run_paper_table(arguments: argparse.Namespace) -> int:
    """The method, its ablations and two baselines on the same prompts, CLIP and data; returns 0."""
    from backend.ablations import FULL, ablations
    from backend.baselines.dream_fields import DreamSettings, dream_fields_maker
    from backend.evaluation import bundle_maker

    rows = _rows(arguments)
    methods = [name.strip() for name in arguments.methods.split(",") if name.strip()]
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise SettingError(f"There is no method {unknown[0]!r}.", remedy=f"Choose of {', '.join(METHODS)}.")
    check_sizes(arguments, {*MEASURE_SIZES, *FORGE_SIZES, *DREAM_SIZES})
    sizes = sizes_of(arguments)
    bundle, recipe = load(arguments)
    variants = ablations(bundle, recipe, seed=arguments.seed)
    chosen = variants if ABLATIONS in methods else {FULL: variants[FULL]}
    makers = {name: bundle_maker(*variant) for name, variant in chosen.items()}
    for given in arguments.also:
        name, _, other = given.partition("=")
        if not name or not other or name in makers:
            raise SettingError(f"--also {given!r} is not NAME=BUNDLE.", remedy="Give each row its own name.")
        makers[name] = bundle_maker(*load(arguments, other))
    training: dict[str, float] = {}
    if FORGE in methods:
        makers["CLIP-Forge style"], training["CLIP-Forge style"] = _forge_maker(
            arguments, bundle, recipe, sizes
        )
    if DREAM in methods:
        values = {own: sizes[name] for name, own in DREAM_SIZES.items() if name in sizes}
        makers["Dream Fields style"] = dream_fields_maker(bundle, DreamSettings.from_dict(values))
    facts = {
        "bundle": bundle.name, "bundle_sha256": bundle.sha256, "training_seconds": training,
        "sizes": sizes, "settings": recipe.settings.to_dict(),
    }  # fmt: skip
    return _judge_all(arguments, rows, makers, bundle, facts, measured=True)


def _judge_all(
    arguments: argparse.Namespace,
    rows: "list[PromptRow]",
    makers: "dict[str, Maker]",
    first: "Bundle",
    facts: dict[str, Any],
    *,
    measured: bool,
) -> int:
    """Judge every maker, write everything, print the table.

    first: its CLIP judges all results, unless --judge-clip names one; cosines of several CLIPs could not be
    compared.
    """
    from backend.comparison import judge_method, write_comparison
    from backend.measures.measurement import Measurement

    references = cached_references(arguments.references, seed=1, cache=cache_of(arguments))
    ruler = make_measures(arguments, references) if measured else None
    clip = judging_clip(arguments, first)
    facts = {**facts, "judge_clip": arguments.judge_clip or first.name}
    judged: list[Judged] = []
    for name, maker in makers.items():
        measurement = Measurement(ruler, clip) if ruler is not None else None
        judged.append(judge_method(name, maker, rows, references, measurement, seed=arguments.seed, tell=say))
        # Written after each, so that a stopped comparison leaves what is known.
        table = write_comparison(arguments.out, rows, judged)
        reports = {one.name: one.report for one in judged}
        write_report(arguments.out, {**facts, "methods": reports})
    if measured:
        warn_of_few(judged[0].report["measures"])
    sys.stdout.write(f"{table}{arguments.out}\n")
    return 0


def _rows(arguments: argparse.Namespace) -> "list[PromptRow]":
    from backend.evaluation import read_prompts

    if arguments.prompts is None:
        raise SettingError("There is no table of prompts.", remedy="Give --prompts FILE.")
    check_common(arguments)
    return read_prompts(arguments.prompts)


def _forge_maker(
    arguments: argparse.Namespace, bundle: "Bundle", recipe: Any, sizes: dict[str, int]
) -> "tuple[Maker, float]":
    """Train the conditional flow; its maker, and the seconds that the training took."""
    import dataclasses

    from backend.baselines.clip_forge import Forged, ForgeSettings, forge
    from backend.evaluation import bundle_maker
    from backend.recipe import change_settings

    values = {own: sizes[name] for name, own in FORGE_SIZES.items() if name in sizes}
    forged: Forged = _follow(forge(bundle, ForgeSettings.from_dict(values), arguments.work))
    # The publication's way: the most likely code, no ranking, nothing tuned.
    plain = change_settings(recipe.settings, {"mapper": {"candidates": 1}, "stage2": {"steps": 0}})
    own = dataclasses.replace(bundle, mapper=forged.mapper)
    maker = bundle_maker(own, recipe.replace(settings=plain, diversity=0.0))
    return maker, round(forged.seconds, 1)


def _follow(work: Generator[tuple[str, int], None, Any]) -> Any:
    """Run a training to its end, telling each phase once and then now and then."""
    import time

    phase, last = "", 0.0
    while True:
        try:
            name, done = next(work)
        except StopIteration as finished:
            return finished.value
        if name != phase or time.monotonic() - last > 5.0:
            phase, last = name, time.monotonic()
            say(f"clip-forge, {name}: {done}")
