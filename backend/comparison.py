"""Several ways to answer the same prompts, judged alike, side by side: bundles, ablations, baselines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.evaluation import Maker, PromptRow, Verdict, judge_rows, summarize
from backend.judges.category import References
from backend.measures.measurement import FIGURES, Measurement
from backend.measures.tables import csv_table, markdown_table, save_charts
from backend.output_file import write_file
from backend.rendering.turntable import Picture, contact_sheet, save_png, turntable_views

COLUMNS = (
    "method", "category_accuracy", "color_accuracy", "clip", *FIGURES, "watertight", "one_piece", "seconds",
)  # fmt: skip
"""Of the table of methods; `clip` is the cosine of text and pictures, for all methods by the same CLIP."""
CATEGORY_COLUMNS = ("category", "prompts", "category_accuracy", "color_accuracy", "clip", *FIGURES)
CHARTED = ("category_accuracy", "fid", "fpd", "r_precision", "chamfer", "f_score", "iou")
SHEET_ROWS, SHEET_PIXELS = 100, 112


@dataclass(frozen=True)
class Judged:
    """One way to answer the prompts, and what came of it."""

    name: str
    report: dict[str, Any]
    """As `evaluation.summarize` gives it, with `measures` where they were taken."""
    pictures: list[list[Picture]]
    """Of the first SHEET_ROWS prompts; none where nothing came of one."""
    verdicts: list[Verdict]

    def row(self) -> dict[str, Any]:
        """Its line in the table of methods."""
        measures = self.report.get("measures", {})
        return {
            "method": self.name,
            **{name: self.report[name] for name in ("category_accuracy", "color_accuracy", "watertight",
                                                    "one_piece")},
            **{name: measures.get(name) for name in ("clip", *FIGURES)},
            "seconds": self.report["seconds_median"],
        }  # fmt: skip

    def categories(self) -> dict[str, dict[str, Any]]:
        """Category -> its figures."""
        measured = self.report.get("measures", {}).get("categories", {})
        return {
            name: {"category": name, **measured.get(name, {}), **own}
            for name, own in self.report["categories"].items()
        }


def judge_method(
    name: str,
    maker: Maker,
    rows: Sequence[PromptRow],
    references: References,
    measurement: Measurement | None = None,
    *,
    seed: int = 0,
    views: int = 2,
    tell: Callable[[str], None] = lambda line: None,
) -> Judged:
    """Make and judge every row. views: pictures of each result on the sheet."""
    verdicts: list[Verdict] = []
    pictures: list[list[Picture]] = []
    for row, (verdict, mesh) in zip(rows, judge_rows(rows, maker, references, seed=seed), strict=True):
        verdicts.append(verdict)
        if len(pictures) < SHEET_ROWS:
            pictures.append(turntable_views(mesh, views, SHEET_PIXELS) if mesh is not None else [])
        if measurement is not None:
            measurement.add(row, mesh)
        seen = f"{verdict.category_seen} {verdict.color_seen}".strip() or verdict.error
        tell(f"{name}: {len(verdicts)}/{len(rows)} {verdict.prompt}: {seen}, {verdict.seconds:.1f} s")
    report = summarize(verdicts)
    if measurement is not None:
        report["measures"] = measurement.figures()
    return Judged(name, report, pictures, verdicts)


def comparison_sheet(rows: Sequence[PromptRow], judged: Sequence[Judged], *, views: int = 2) -> Picture:
    """A row per prompt, `views` pictures per method side by side; white where nothing came of a prompt."""
    import numpy as np

    blank = np.full((SHEET_PIXELS, SHEET_PIXELS, 3), 255, np.uint8)
    headings = [heading for one in judged for heading in (one.name, *[""] * (views - 1))]
    lines = []
    for number, row in enumerate(rows[:SHEET_ROWS]):
        pictures = [picture for one in judged for picture in (one.pictures[number] or [blank] * views)]
        lines.append((row.prompt, pictures))
    return contact_sheet(lines, columns=headings)


def write_comparison(
    folder: Path, rows: Sequence[PromptRow], judged: Sequence[Judged], *, views: int = 2
) -> str:
    """Write table.md, table.csv, categories.csv, charts.png and sheet.png; returns the table. OutputError."""
    table = [one.row() for one in judged]
    columns = [name for name in COLUMNS if any(row.get(name) is not None for row in table)]
    text = markdown_table(table, columns, mark_best=True)
    write_file(folder / "table.md", text.encode())
    write_file(folder / "table.csv", csv_table(table, columns).encode())
    by_category = {one.name: one.categories() for one in judged}
    lines = [{"method": name, **row} for name, own in by_category.items() for row in own.values()]
    write_file(folder / "categories.csv", csv_table(lines, ("method", *CATEGORY_COLUMNS)).encode())
    save_charts(folder / "charts.png", by_category, CHARTED)
    if any(one.pictures and any(one.pictures) for one in judged):
        save_png(comparison_sheet(rows, judged, views=views), folder / "sheet.png")
    return text
