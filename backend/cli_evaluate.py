"""`python -m backend evaluate`: judge a bundle on a table of prompts, or on the starter's floors.

Writes report.json and sheet.png into a folder; earlier ones stay when the run fails.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import DatasetError, FaultError, SettingError

if TYPE_CHECKING:
    from backend.bundles import Bundle
    from backend.evaluation import Maker
    from backend.judges.category import References
    from backend.mesh import TriMesh
    from backend.recipe import Recipe
    from backend.starter_suite import Figure, StarterSizes

SUITES = ("starter", "judges")
_REPORT, _SHEET = "report.json", "sheet.png"
_DEFAULT_REFERENCES = 84
_LINE_SECONDS = 5.0
_COLD_PROMPT = "a red chair with a high back"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--prompts", type=Path, metavar="FILE", help="CSV file with the columns prompt,category,color")
    add("--suite", choices=SUITES, help="starter: its floors; judges: the judges on true shapes")
    add("--out", type=Path, required=True, metavar="DIR", help=f"folder for {_REPORT} and {_SHEET}")
    add("--bundle", default="starter", metavar="NAME", help="model bundle, by name or folder (starter)")
    add("--seed", type=int, default=0, metavar="N", help="seed of every result (0)")
    add("--preset", default="normal", metavar="NAME", help="quality: draft, normal or fine (normal)")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps (auto)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads (as torch chooses)")
    add(
        "--references",
        type=int,
        default=_DEFAULT_REFERENCES,
        metavar="N",
        help=f"true shapes per category for the judge, 30 or more ({_DEFAULT_REFERENCES})",
    )
    add("--paper", type=Path, metavar="FILE", help="suite: CSV file of the paper's prompts and categories")
    add("--size", action="append", default=[], metavar="NAME=N", help="suite: how much to measure")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; returns 0, also where a floor is not reached: the report says so."""
    if (arguments.prompts is None) == (arguments.suite is None):
        raise SettingError(
            "Either a table of prompts or a suite is needed.",
            remedy="Give --prompts FILE or --suite starter.",
        )
    if arguments.references < 30:
        raise SettingError(f"--references is {arguments.references}.", remedy="Use at least 30 per category.")
    _require_numba()
    from backend.results import check_output

    check_output(arguments.out)
    if arguments.suite:
        return _run_suite(arguments)
    return _run_table(arguments)


def _run_table(arguments: argparse.Namespace) -> int:
    from backend.evaluation import (
        SHEET_ROWS,
        Verdict,
        bundle_maker,
        judge_rows,
        read_prompts,
        sheet_pictures,
        summarize,
        verdict_sheet,
    )

    rows = read_prompts(arguments.prompts)
    bundle, recipe = _load(arguments)
    references = _references(arguments.references, seed=1)
    verdicts: list[Verdict] = []
    shown: list[tuple[Verdict, list[Any]]] = []
    for verdict, mesh in judge_rows(rows, bundle_maker(bundle, recipe), references, seed=arguments.seed):
        verdicts.append(verdict)
        if len(shown) < SHEET_ROWS:
            shown.append((verdict, sheet_pictures(mesh)))
        _say(f"{len(verdicts)}/{len(rows)} {verdict.prompt}: {verdict.category_seen} {verdict.color_seen}")
    report = {"bundle": bundle.name, "bundle_sha256": bundle.sha256, **summarize(verdicts)}
    _write(arguments.out, report, verdict_sheet(shown))
    for key in ("category_accuracy", "color_accuracy", "clip_score_stage1", "clip_score", "watertight",
                "seconds_median"):  # fmt: skip
        sys.stdout.write(f"{key}: {report[key]}\n")
    return 0


def _run_suite(arguments: argparse.Namespace) -> int:
    from backend.evaluation import bundle_maker, read_prompts

    sizes = _sizes(arguments)
    paper = read_prompts(arguments.paper) if arguments.paper else []
    bundle: Bundle | None = None
    if arguments.suite == "starter":
        bundle, recipe = _load(arguments)
        maker, plain = bundle_maker(bundle, recipe, with_start=True), bundle_maker(bundle, recipe)
    else:
        maker = plain = _judges_maker(sizes)
    keeper = _SheetKeeper(maker)
    figures, verdicts = _measure(keeper, plain, bundle, sizes, paper)
    if bundle is not None:
        from backend.starter_suite import time_figures

        cold = _cold_seconds(arguments)
        figures += time_figures([v.seconds for v in verdicts if not v.error], cold)
    report = {
        "suite": arguments.suite,
        "bundle": bundle.name if bundle else "true shapes",
        "sizes": sizes.to_dict(),
        "figures": [figure.to_dict() for figure in figures],
        "prompts": [vars(v) for v in verdicts],
    }
    _write(arguments.out, report, keeper.sheet(verdicts))
    for figure in figures:
        mark = "reached" if figure.reached else "MISSED"
        sign = "<" if figure.at_most else ">="
        limit = f"{sign} {figure.limit:.3g}"
        sys.stdout.write(f"{mark:8}{figure.name}: {figure.value} ({limit}, {figure.count} shapes)\n")
    return 0


def _measure(
    maker: "_SheetKeeper",
    plain: "Maker",
    bundle: "Bundle | None",
    sizes: "StarterSizes",
    paper: list[Any],
) -> tuple[list["Figure"], list[Any]]:
    """All figures but those of time."""
    from backend import starter_suite as suite
    from backend.datasets.procedural.prompts import held_out_prompts
    from backend.evaluation import PromptRow
    from backend.judges.parts import PartJudge

    references = _references(sizes.references, seed=1)
    fresh = _references(suite.FRESH_PER_CATEGORY, seed=2)
    figures: list[Figure] = []
    if bundle is not None:
        from backend.reconstruction_quality import image_figures

        figures += _finish("images", image_figures(bundle, sizes.images, seed=sizes.seed))
    prompts = [prompt for prompt, _ in held_out_prompts(sizes.prompts, seed=sizes.seed)]
    parts = PartJudge(seed=sizes.seed)
    found, verdicts = _finish(
        "prompts", suite.text_figures(maker, prompts, references, parts=parts, seed=sizes.seed)
    )
    maker.stop()
    figures += [*found, suite.sharpness_figure(found[-1], references, fresh)]
    figures.append(_finish("attributes", suite.attribute_figure(plain, sizes.attributes, seed=sizes.seed)))
    if paper:
        figure, _ = _finish("the paper's prompts", suite.paper_figure(plain, paper, references))
        figures.append(figure)
    rows = [PromptRow(text, category) for text, category in suite.DIVERSITY_PROMPTS[: sizes.diverse]]
    figures += _finish("seeds", suite.diversity_figures(plain, rows, sizes.seeds, references))
    figures.append(_finish("colourless", suite.colorless_figure(plain, sizes.colorless, seed=sizes.seed)))
    figures.append(_finish("thin parts", suite.thin_part_figure(plain, sizes.thin, seed=sizes.seed)))
    return figures, verdicts


class _SheetKeeper:
    """A maker that keeps pictures of what it makes, until stopped or the sheet is full."""

    def __init__(self, maker: "Maker") -> None:
        self._maker = maker
        self._pictures: list[tuple[str, list[Any]]] = []
        self._open = True

    def __call__(self, prompt: str, seed: int) -> Any:
        from backend.evaluation import SHEET_ROWS, sheet_pictures

        outcome = self._maker(prompt, seed)
        if self._open and len(self._pictures) < SHEET_ROWS:
            mesh: TriMesh = outcome.mesh
            self._pictures.append((prompt, sheet_pictures(mesh)))
        return outcome

    def stop(self) -> None:
        """Keep no more pictures."""
        self._open = False

    def sheet(self, verdicts: list[Any]) -> Any:
        """The contact sheet of the kept pictures with their verdicts."""
        from backend.evaluation import verdict_sheet

        pictures = dict(self._pictures)
        return verdict_sheet([(v, pictures[v.prompt]) for v in verdicts if v.prompt in pictures])


def _judges_maker(sizes: "StarterSizes") -> "Maker":
    """True shapes for every prompt of the suite."""
    from backend.datasets.procedural.prompts import held_out_prompts
    from backend.judges.attributes import ATTRIBUTES
    from backend.starter_suite import attribute_claims
    from backend.true_shapes import true_maker

    pairs = held_out_prompts(sizes.prompts, seed=sizes.seed)
    for attribute in ATTRIBUTES:
        pairs += attribute_claims(attribute, sizes.attributes, seed=sizes.seed)
    return true_maker((prompt.text, sample) for prompt, sample in pairs)


def _sizes(arguments: argparse.Namespace) -> "StarterSizes":
    from backend.starter_suite import StarterSizes

    values: dict[str, Any] = {"references": arguments.references, "seed": arguments.seed}
    for given in arguments.size:
        name, _, number = given.partition("=")
        if not number.isdigit():
            raise SettingError(f"--size {given!r} is not NAME=N.", remedy="For example --size prompts=48.")
        values[name] = int(number)
    return StarterSizes.from_dict(values)


def _load(arguments: argparse.Namespace) -> "tuple[Bundle, Recipe]":
    from backend.bundle_places import resolve_bundle
    from backend.bundles import load_bundle
    from backend.device import resolve_device
    from backend.recipe import Recipe, apply_preset

    folder = resolve_bundle(arguments.bundle)
    bundle = load_bundle(folder, device=resolve_device(arguments.device))
    settings = apply_preset(bundle.settings, arguments.preset)
    recipe = Recipe(settings=settings, device=arguments.device, threads=arguments.threads)
    return bundle, recipe


def _references(count: int, *, seed: int) -> "References":
    from backend.judges.category import build_references

    _say(f"drawing {count} fresh shapes per category for the judges")
    return build_references(count, seed=seed)


def _cold_seconds(arguments: argparse.Namespace) -> float:
    """Wall-clock seconds of one `generate` command in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "backend", "generate", _COLD_PROMPT, "--out", folder, "--quiet"]
        command += ["--bundle", arguments.bundle, "--device", arguments.device, "--preset", arguments.preset]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
    if done.returncode:
        raise FaultError(f"The command from a cold start failed: {done.stderr.strip()[-300:]}")
    return round(seconds, 2)


def _write(folder: Path, report: dict[str, Any], sheet: Any) -> None:
    from backend.output_file import write_file
    from backend.rendering.turntable import save_png

    save_png(sheet, folder / _SHEET)
    write_file(folder / _REPORT, (json.dumps(report, indent=2) + "\n").encode())


def _finish(what: str, work: Generator[int, None, Any]) -> Any:
    """Run a measurement to its end, telling how far it is now and then."""
    last = time.monotonic()
    while True:
        try:
            done = next(work)
        except StopIteration as finished:
            _say(f"{what}: done")
            return finished.value
        if time.monotonic() - last > _LINE_SECONDS:
            last = time.monotonic()
            _say(f"{what}: {done}")


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def _require_numba() -> None:
    from importlib.util import find_spec

    if find_spec("numba") is None:
        raise DatasetError(
            "The procedural shapes need numba, which is not installed.",
            remedy='Install the packages for training: `pip install -e ".[train]"`.',
        )
