"""Judging a bundle on a table of prompts: category, colour, CLIP scores, soundness and time per prompt.

The judges know geometry and colour only, never the CLIP that made the shapes. Anything that turns a prompt
into an `Outcome` can be judged (a `Maker`): a bundle here, true procedural shapes in the tests of the judges.
"""

import csv
import statistics
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backend.bundles import Bundle
from backend.errors import DatasetError, EmptyShapeError, IssError
from backend.judges.category import References, resolve_category
from backend.judges.colors import NEARLY, color_right, color_shares, resolve_color
from backend.judges.solid import mesh_solid, mesh_surface
from backend.judges.structure import piece_count
from backend.mesh import TriMesh
from backend.pipeline import decode, generate
from backend.recipe import Recipe, check_prompt
from backend.rendering.turntable import Picture, contact_sheet, turntable_views

COLUMNS = ("prompt", "category", "color")
SHEET_ROWS, SHEET_VIEWS, SHEET_PIXELS = 100, 4, 128
"""Of sheet.png: prompts shown at most, views of each, pixels per side."""


@dataclass(frozen=True)
class PromptRow:
    """A prompt with what its shape should be; empty where that is not asked."""

    prompt: str
    category: str = ""
    color: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a prompt."""

    mesh: TriMesh
    score_stage1: float
    """CLIP score of the mapper's proposal, before stage 2."""
    score: float
    seconds: float
    start_mesh: TriMesh | None = None
    """Mesh of the proposal, where it was asked for."""


Maker = Callable[[str, int], Outcome]
"""(prompt, seed) -> Outcome; EmptyShapeError where nothing came of it."""


@dataclass(frozen=True)
class Verdict:
    """The judges' word on one prompt; None where the row asked for nothing."""

    prompt: str
    category: str = ""
    category_seen: str = ""
    category_right: bool | None = None
    color: str = ""
    color_seen: str = ""
    color_right: bool | None = None
    clip_score_stage1: float = 0.0
    clip_score: float = 0.0
    watertight: bool = False
    pieces: int = 0
    seconds: float = 0.0
    error: str = ""


def read_prompts(path: Path) -> list[PromptRow]:
    """Rows of a CSV file with the columns prompt, category, color; the last two may be empty.

    Synonyms are resolved (grey, couch). DatasetError names the line with a missing or unknown value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.", remedy="Give a CSV file.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text.", remedy="Save it as CSV in UTF-8.") from error
    table = csv.DictReader(text.splitlines(), skipinitialspace=True)
    header = tuple(name.strip().lower() for name in table.fieldnames or ())
    if header != COLUMNS:
        raise DatasetError(
            f"{path} has the columns {', '.join(header) or '(none)'}.",
            remedy=f"Its first line must be {','.join(COLUMNS)}.",
        )
    table.fieldnames = list(COLUMNS)
    rows = [_row(path, table.line_num, values) for values in table]
    if not rows:
        raise DatasetError(f"{path} holds no prompts.", remedy="Write one prompt per line below the header.")
    return rows


def bundle_maker(bundle: Bundle, recipe: Recipe, *, with_start: bool = False) -> Maker:
    """Makes shapes with a bundle; with_start also meshes the mapper's proposal, outside the seconds."""

    def make(prompt: str, seed: int) -> Outcome:
        own = recipe.replace(prompt=prompt, seed=seed)
        start = time.perf_counter()
        result = _finish(generate(bundle, own))
        seconds = time.perf_counter() - start
        first = _finish(decode(bundle, own, result.codes[0])) if with_start else None
        best = result.scores[result.best_step]
        return Outcome(result.mesh, result.scores[0], best, seconds, first)

    return make


def judge_outcome(
    row: PromptRow, outcome: Outcome, references: References, *, nearly: float = NEARLY
) -> Verdict:
    """Everything that the judges say of one shape."""
    seen = references.category_of(mesh_solid(outcome.mesh))
    colors = mesh_surface(outcome.mesh).colors
    return Verdict(
        prompt=row.prompt,
        category=row.category,
        category_seen=seen,
        category_right=seen == row.category if row.category else None,
        color=row.color,
        color_seen=next(iter(color_shares(colors)), ""),
        color_right=color_right(colors, row.color, nearly=nearly) if row.color else None,
        clip_score_stage1=outcome.score_stage1,
        clip_score=outcome.score,
        watertight=outcome.mesh.is_watertight(),
        pieces=piece_count(outcome.mesh),
        seconds=outcome.seconds,
    )


def judge_rows(
    rows: Iterable[PromptRow], maker: Maker, references: References, *, seed: int = 0
) -> Generator[tuple[Verdict, TriMesh | None], None, None]:
    """Make and judge every row in turn; an empty shape is a verdict with an error and no mesh."""
    for row in rows:
        try:
            outcome = maker(row.prompt, seed)
        except EmptyShapeError as error:
            yield failed(row, error.message), None
            continue
        yield judge_outcome(row, outcome, references), outcome.mesh


def failed(row: PromptRow, message: str) -> Verdict:
    """The verdict on a prompt from which nothing came: wrong in all that was asked."""
    return Verdict(
        prompt=row.prompt,
        category=row.category,
        category_right=False if row.category else None,
        color=row.color,
        color_right=False if row.color else None,
        error=message,
    )


def summarize(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The contents of report.json; figures that no row asked for are None."""
    made = [v for v in verdicts if not v.error]
    by_category: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.category:
            by_category.setdefault(verdict.category, []).append(verdict)
    return {
        "category_accuracy": share(v.category_right for v in verdicts),
        "color_accuracy": share(v.color_right for v in verdicts),
        "clip_score_stage1": _mean([v.clip_score_stage1 for v in made]),
        "clip_score": _mean([v.clip_score for v in made]),
        "watertight": share(v.watertight for v in verdicts),
        "one_piece": share(v.pieces == 1 for v in verdicts),
        "seconds_median": round(statistics.median(v.seconds for v in made), 3) if made else None,
        "prompts": [asdict(v) for v in verdicts],
        "categories": {
            name: {
                "prompts": len(own),
                "category_accuracy": share(v.category_right for v in own),
                "color_accuracy": share(v.color_right for v in own),
                "clip_score": _mean([v.clip_score for v in own if not v.error]),
            }
            for name, own in sorted(by_category.items())
        },
    }


def share(answers: Iterable[bool | None]) -> float | None:
    """Share of True among the answers that are not None; None where there is none."""
    known = [answer for answer in answers if answer is not None]
    return round(sum(known) / len(known), 4) if known else None


def verdict_sheet(shown: Sequence[tuple[Verdict, Sequence[Picture]]]) -> Picture:
    """Contact sheet: one row per prompt with what the judges saw."""
    rows = []
    for verdict, pictures in shown:
        wrong = [
            f"{seen or 'nothing'}, not {wanted}"
            for right, wanted, seen in (
                (verdict.category_right, verdict.category, verdict.category_seen),
                (verdict.color_right, verdict.color, verdict.color_seen),
            )
            if right is False
        ]
        label = f"{verdict.prompt} ({verdict.clip_score:.2f})" + (f" [{'; '.join(wrong)}]" if wrong else "")
        blank = np.full((SHEET_PIXELS, SHEET_PIXELS, 3), 255, np.uint8)
        rows.append((label, pictures or [blank]))
    return contact_sheet(rows)


def sheet_pictures(mesh: TriMesh | None) -> list[Picture]:
    """Views of one row of the sheet; none of an empty shape."""
    return turntable_views(mesh, SHEET_VIEWS, SHEET_PIXELS) if mesh is not None else []


def _row(path: Path, line: int, values: dict[str | None, Any]) -> PromptRow:
    if None in values:
        raise DatasetError(
            f"{path}, line {line}: more than {len(COLUMNS)} columns.",
            remedy="Put prompts that hold commas in double quotes.",
        )
    prompt, category, color = ((values[name] or "").strip() for name in COLUMNS)
    try:
        return PromptRow(
            check_prompt(prompt),
            resolve_category(category) if category else "",
            resolve_color(color) if color else "",
        )
    except IssError as error:
        raise DatasetError(f"{path}, line {line}: {error.message}", remedy=error.remedy) from error


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def _finish(work: Generator[Any, None, Any]) -> Any:
    """Run a job of the pipeline to its end, its progress unheard."""
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value
