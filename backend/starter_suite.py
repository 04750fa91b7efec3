"""The floors of the starter bundle, each as a named figure measured on prompts and shapes never trained on.

`python -m backend evaluate --suite starter` runs them all (issue: a starter bundle whose shapes an artist
keeps). Every figure is counted by small functions that take any `Maker`, so that the tests run them on true
shapes, where they must pass, and on wrong ones, where they must not.
"""

import statistics
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from backend.config import Settings, bounded
from backend.datasets.procedural.categories import CATEGORIES, Sample
from backend.datasets.procedural.prompts import Prompt, claims, colorless_prompts
from backend.errors import EmptyShapeError
from backend.evaluation import Maker, Outcome, PromptRow, Verdict, failed, judge_outcome, share
from backend.judges.attributes import ATTRIBUTES, Attribute
from backend.judges.attributes import RESOLUTION as ATTRIBUTE_RESOLUTION
from backend.judges.category import References
from backend.judges.colors import MAIN_PART, looks_painted
from backend.judges.parts import PartJudge
from backend.judges.solid import Solid, mesh_solid, mesh_surface, overlap
from backend.judges.structure import has_both_wings, has_unbroken_pole, stands

DIVERSITY_PROMPTS = (
    ("a chair", "chair"),
    ("an airplane", "airplane"),
    ("a lamp", "lamp"),
    ("a house", "house"),
    ("a boat", "watercraft"),
    ("a vase", "vase"),
    ("a car", "car"),
    ("a table", "table"),
)
"""Prompts with their categories that leave room for differences."""
FRESH_PER_CATEGORY = 12
"""True shapes that say how similar fresh shapes are to the judges' references."""
_SLACK = 0.005
"""Stage 2 may lose this much similarity to the nearest true shape before it counts as lower: noise of the
voxels."""


@dataclass(frozen=True)
class StarterSizes(Settings):
    """How much is measured; the defaults are what the floors ask for, small numbers make a quick look."""

    images: int = bounded(17, 1, 1000)
    """Single images per category (17 x 24 = 408)."""
    prompts: int = bounded(400, 1, 100_000)
    """Held-out prompts over all categories."""
    attributes: int = bounded(10, 1, 1000)
    """Prompts per judged attribute."""
    colorless: int = bounded(48, 1, 1000)
    thin: int = bounded(20, 1, 1000)
    """Prompts each for chairs, tables, airplanes and lamps."""
    seeds: int = bounded(8, 2, 64)
    """Of each of the prompts whose diversity is measured."""
    diverse: int = bounded(8, 1, len(DIVERSITY_PROMPTS))
    """Prompts whose diversity is measured."""
    references: int = bounded(84, 30, 1000)
    """Fresh true shapes per category for the judges."""
    seed: int = bounded(0, 0, 2**31)


@dataclass(frozen=True)
class Figure:
    """One measured figure and its floor (or ceiling)."""

    name: str
    value: float | None
    limit: float
    count: int
    """Shapes it was measured on."""
    at_most: bool = False
    """The limit is a ceiling."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether the floor is reached; not where nothing was measured."""
        if self.value is None:
            return False
        return self.value < self.limit if self.at_most else self.value >= self.limit

    def to_dict(self) -> dict[str, Any]:
        """For report.json."""
        return {**asdict(self), "reached": self.reached}


Try = Callable[[str, int], Outcome | None]


def attempt(maker: Maker) -> Try:
    """The maker, with None for an empty shape."""

    def make(prompt: str, seed: int) -> Outcome | None:
        try:
            return maker(prompt, seed)
        except EmptyShapeError:
            return None

    return make


def text_figures(
    maker: Maker, prompts: Sequence[Prompt], references: References, *, parts: PartJudge, seed: int = 0
) -> Generator[int, None, tuple[list[Figure], list[Verdict]]]:
    """Category, colours, similarity, stage 2 and soundness over held-out prompts; yields the number done.

    Stage 2 is judged where the maker gives the mesh before it.
    """
    make, verdicts = attempt(maker), []
    part_colors: list[bool | None] = []
    similar: dict[str, list[float]] = {name: [] for name in CATEGORIES}
    kept: list[bool] = []
    for done, prompt in enumerate(prompts, 1):
        row = PromptRow(prompt.text, prompt.category, prompt.color)
        outcome = make(prompt.text, seed + done)
        if outcome is None:
            verdicts.append(failed(row, "empty"))
            similar[prompt.category].append(0.0)
            part_colors += [False] * len(prompt.part_colors)
        else:
            verdicts.append(judge_outcome(row, outcome, references, nearly=MAIN_PART))
            solid, surface = mesh_solid(outcome.mesh), mesh_surface(outcome.mesh)
            similar[prompt.category].append(references.similarity(solid, prompt.category))
            part_colors += [
                parts.right(
                    solid, surface, category=prompt.category, kind=prompt.kind, part=part, color=color
                )
                for part, color in prompt.part_colors.items()
            ]
            if outcome.start_mesh is not None:
                kept.append(stage2_kept(outcome, references, prompt.category))
        yield done
    result = [v for values in similar.values() for v in values]
    category, each = share(v.category_right for v in verdicts), _per_category(verdicts)
    figures = [
        Figure("text to shape: category right", category, 0.95, len(verdicts), details=each),
        Figure("colour right", share(v.color_right for v in verdicts), 0.95,
               sum(v.color_right is not None for v in verdicts)),
        Figure("part colours right", share(part_colors), 0.75,
               sum(right is not None for right in part_colors)),
        Figure("meshes watertight and in one piece", share(v.watertight and v.pieces == 1 for v in verdicts),
               1.0, len(verdicts)),
        Figure("stage 2: CLIP score, category and sharpness not lower", share(kept), 0.95, len(kept)),
    ]  # fmt: skip
    details = {name: round(float(np.mean(values)), 4) for name, values in similar.items() if values}
    figures.append(
        Figure("similarity to true shapes", float(np.mean(result)), 0.0, len(result), details=details)
    )
    return figures, verdicts


def sharpness_figure(similarity: Figure, references: References, fresh: References) -> Figure:
    """Similarity of results over that of fresh true shapes in the same mix of categories."""
    from backend.judges.solid import RESOLUTION

    real = {}
    for name in similarity.details:
        rows = fresh.packed[fresh.categories == name]
        grids = np.unpackbits(rows, axis=1).astype(bool).reshape(-1, RESOLUTION, RESOLUTION, RESOLUTION)
        real[name] = float(np.mean([references.overlaps(grid, name).max() for grid in grids]))
    ratios = {name: round(similarity.details[name] / real[name], 4) for name in real if real[name] > 0}
    value = round(float(np.mean(list(ratios.values()))), 4) if ratios else None
    return Figure("sharpness against real shapes", value, 0.97, similarity.count, details=ratios)


def stage2_kept(outcome: Outcome, references: References, category: str) -> bool:
    """Whether stage 2 left CLIP score, category and similarity to true shapes no lower than it found them."""
    assert outcome.start_mesh is not None
    before, after = mesh_solid(outcome.start_mesh), mesh_solid(outcome.mesh)
    lost = references.category_of(before) == category != references.category_of(after)
    blurred = references.similarity(after, category) < references.similarity(before, category) - _SLACK
    return outcome.score >= outcome.score_stage1 and not lost and not blurred


def attribute_figure(
    maker: Maker, per_attribute: int, *, seed: int = 0, attributes: Sequence[Attribute] = ATTRIBUTES
) -> Generator[int, None, Figure]:
    """Attributes named in the prompt that are seen in the geometry; the value is the mean over attributes."""
    make, right, done = attempt(maker), {}, 0
    for attribute in attributes:
        answers = []
        for prompt, _ in attribute_claims(attribute, per_attribute, seed=seed):
            outcome = make(prompt.text, seed + done)
            value = {**prompt.facts, "kind": prompt.kind}[attribute.fact]
            solid = mesh_solid(outcome.mesh, resolution=ATTRIBUTE_RESOLUTION) if outcome else None
            answers.append(solid is not None and attribute.right(solid, value))
            done += 1
            yield done
        right[attribute.name] = share(answers)
    known = [value for value in right.values() if value is not None]
    mean = round(float(np.mean(known)), 4) if known else None
    return Figure("attributes there", mean, 0.75, done, details=right)


def attribute_claims(attribute: Attribute, count: int, *, seed: int = 0) -> list[tuple[Prompt, Sample]]:
    """`count` prompts that claim the attribute, its values in equal numbers as far as they occur, and the
    shapes that they describe."""
    per_value: dict[Any, int] = {}
    chosen = []
    for prompt, sample in claims(attribute.fact, attribute.category, seed=seed):
        known = {**prompt.facts, "kind": prompt.kind}
        if not attribute.applies(prompt.category, prompt.shape_kind, known):
            continue
        value = known[attribute.fact]
        if per_value.get(value, 0) >= -(-count // len(attribute.values)):
            continue
        per_value[value] = per_value.get(value, 0) + 1
        chosen.append((prompt, sample))
        if len(chosen) == count:
            break
    return chosen


def paper_figure(
    maker: Maker, rows: Sequence[PromptRow], references: References, *, seed: int = 0
) -> Generator[int, None, tuple[Figure, list[Verdict]]]:
    """The paper's prompts with the right category: 49 of 52."""
    make, verdicts = attempt(maker), []
    for done, row in enumerate(rows, 1):
        outcome = make(row.prompt, seed)
        verdicts.append(judge_outcome(row, outcome, references) if outcome else failed(row, "empty"))
        yield done
    details = {v.prompt: v.category_seen for v in verdicts if v.category_right is False}
    figure = Figure(
        "paper's prompts: category right", share(v.category_right for v in verdicts), 49 / 52, len(rows),
        details=details,
    )  # fmt: skip
    return figure, verdicts


def diversity_figures(
    maker: Maker, prompts: Sequence[PromptRow], seeds: int, references: References
) -> Generator[int, None, list[Figure]]:
    """Mean pairwise IoU of several seeds of one prompt, and the category on all of them."""
    make, means, right, done = attempt(maker), {}, [], 0
    for row in prompts:
        solids = []
        for seed in range(seeds):
            outcome = make(row.prompt, seed)
            if outcome is not None:
                solids.append(mesh_solid(outcome.mesh))
            right.append(outcome is not None and references.category_of(solids[-1]) == row.category)
            done += 1
            yield done
        means[row.prompt] = pairwise_overlap(solids)
    worst = max(means.values())
    return [
        Figure("8 seeds of one prompt: mean pairwise IoU, the worst prompt", worst, 0.75, done, at_most=True,
               details=means),
        Figure("8 seeds of one prompt: category right", share(right), 1.0, done),
    ]  # fmt: skip


def pairwise_overlap(solids: Sequence[Solid]) -> float:
    """Mean IoU of all pairs; 1 for fewer than two."""
    pairs = [overlap(a.grid, b.grid) for i, a in enumerate(solids) for b in solids[:i]]
    return round(float(np.mean(pairs)), 4) if pairs else 1.0


def colorless_figure(maker: Maker, count: int, *, seed: int = 0) -> Generator[int, None, Figure]:
    """Prompts without a colour that give clear paints, not mud."""
    make, answers, bad = attempt(maker), [], {}
    for done, prompt in enumerate(colorless_prompts(count, seed=seed), 1):
        outcome = make(prompt.text, seed + done)
        answers.append(outcome is not None and looks_painted(mesh_surface(outcome.mesh).colors))
        if not answers[-1]:
            bad[prompt.text] = seed + done
        yield done
    return Figure("prompt without a colour: clear paints", share(answers), 0.95, count, details=bad)


THIN_PARTS: dict[str, tuple[Callable[[Solid], bool], tuple[str, ...]]] = {
    "chair": (stands, ("dining chair", "office chair", "stool", "bar stool", "children chair")),
    "table": (
        stands,
        ("dining table", "coffee table", "desk", "pedestal table", "side table", "trestle table"),
    ),
    "airplane": (has_both_wings, ("airliner", "fighter jet", "biplane", "glider", "propeller plane")),
    "lamp": (has_unbroken_pole, ("floor lamp", "desk lamp", "table lamp", "street lamp")),
}
"""Category -> (judge, kinds that have the part)."""


def thin_part_figure(maker: Maker, per_category: int, *, seed: int = 0) -> Generator[int, None, Figure]:
    """Chairs and tables that stand on connected legs, airplanes with both wings, lamps with a pole."""
    make, right, done = attempt(maker), {}, 0
    for category, (judge, kinds) in THIN_PARTS.items():
        answers = []
        for i in range(per_category):
            noun = CATEGORIES[category].kinds[kinds[i % len(kinds)]].nouns[0]
            outcome = make(f"a {noun}", seed + done)
            solid = mesh_solid(outcome.mesh, resolution=ATTRIBUTE_RESOLUTION) if outcome else None
            answers.append(solid is not None and judge(solid))
            done += 1
            yield done
        right[category] = share(answers)
    value = round(float(np.mean([v for v in right.values() if v is not None])), 4)
    return Figure("thin parts present and connected", value, 0.9, done, details=right)


def time_figures(warm: Sequence[float], cold: float | None) -> list[Figure]:
    """Median seconds of `generate` in a running process, and of the whole command from a cold start."""
    median = round(statistics.median(warm), 2) if warm else None
    return [
        Figure("seconds per result, warm", median, 12.0, len(warm), at_most=True),
        Figure("seconds of the command, cold", cold, 25.0, 1 if cold else 0, at_most=True),
    ]


def _per_category(verdicts: Sequence[Verdict]) -> dict[str, float | None]:
    names = sorted({v.category for v in verdicts})
    return {name: share(v.category_right for v in verdicts if v.category == name) for name in names}
