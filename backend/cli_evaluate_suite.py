"""The suites of `evaluate`: the starter's floors, the judges' own errors on true shapes, and styles."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from backend.cli_evaluate_parts import cache_of, cached_references, load, say, sizes_of, write_report
from backend.errors import FaultError

if TYPE_CHECKING:
    from pathlib import Path

    from backend.bundles import Bundle
    from backend.evaluation import Maker
    from backend.mesh import TriMesh
    from backend.starter_suite import Figure, StarterSizes

_LINE_SECONDS = 5.0
_COLD_PROMPT = "a red chair with a high back"


def run_suite(arguments: argparse.Namespace) -> int:
    """Measure a suite's figures and write them; returns 0, also where a floor is not reached."""
    return _run_styles(arguments) if arguments.suite == "stylize" else _run_starter(arguments)


def _run_starter(arguments: argparse.Namespace) -> int:
    from backend.evaluation import bundle_maker, read_prompts

    sizes = _sizes(arguments)
    paper = read_prompts(arguments.paper) if arguments.paper else []
    bundle: Bundle | None = None
    if arguments.suite == "starter":
        bundle, recipe = load(arguments)
        maker, plain = bundle_maker(bundle, recipe, with_start=True), bundle_maker(bundle, recipe)
    else:
        maker = plain = _judges_maker(sizes)
    keeper = _SheetKeeper(maker)
    figures, verdicts = _measure(keeper, plain, bundle, sizes, paper, cache_of(arguments))
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
    write_report(arguments.out, report, keeper.sheet(verdicts))
    _tell_figures(figures)
    return 0


def _run_styles(arguments: argparse.Namespace) -> int:
    from backend import stylize_suite as suite
    from backend.judges.textures import load_judge
    from backend.rendering.turntable import contact_sheet

    sizes = suite.StylizeSizes.from_dict(sizes_of(arguments))
    judge = suite.look_judge(load_judge())
    bundle, recipe = load(arguments)
    references = cached_references(sizes.references, seed=1, cache=cache_of(arguments))
    bases = suite.make_bases(bundle, recipe, references, sizes)
    sheet, verdicts = suite.StyledSheet(), []
    for verdict in suite.measure_looks(bundle, bases, judge, references, sizes, sheet):
        verdicts.append(verdict)
        say(f"{verdict.prompt}, {verdict.style}, {verdict.mode}: {verdict.seen}, {verdict.seconds} s")
    figures = suite.style_figures(verdicts)
    report = {
        "suite": "stylize",
        "bundle": bundle.name,
        "bundle_sha256": bundle.sha256,
        "sizes": sizes.to_dict(),
        "figures": [figure.to_dict() for figure in figures],
        "looks": [vars(verdict) for verdict in verdicts],
    }
    write_report(arguments.out, report, contact_sheet(sheet.rows(), [base.prompt for base in bases]))
    _tell_figures(figures)
    return 0


def _tell_figures(figures: list["Figure"]) -> None:
    for figure in figures:
        mark = "reached" if figure.reached else "MISSED"
        sign = "<" if figure.at_most else ">="
        limit = f"{sign} {figure.limit:.3g}"
        sys.stdout.write(f"{mark:8}{figure.name}: {figure.value} ({limit}, {figure.count} shapes)\n")


def _measure(
    maker: "_SheetKeeper",
    plain: "Maker",
    bundle: "Bundle | None",
    sizes: "StarterSizes",
    paper: list[Any],
    cache: "Path | None",
) -> tuple[list["Figure"], list[Any]]:
    """All figures but those of time."""
    from backend import starter_suite as suite
    from backend.datasets.procedural.prompts import held_out_prompts
    from backend.evaluation import PromptRow
    from backend.judges.parts import PartJudge

    references = cached_references(sizes.references, seed=1, cache=cache)
    fresh = cached_references(suite.FRESH_PER_CATEGORY, seed=2, cache=cache)
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

    values = {"references": arguments.references, "seed": arguments.seed, **sizes_of(arguments)}
    return StarterSizes.from_dict(values)


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


def _finish(what: str, work: Generator[int, None, Any]) -> Any:
    """Run a measurement to its end, telling how far it is now and then."""
    last = time.monotonic()
    while True:
        try:
            done = next(work)
        except StopIteration as finished:
            say(f"{what}: done")
            return finished.value
        if time.monotonic() - last > _LINE_SECONDS:
            last = time.monotonic()
            say(f"{what}: {done}")
