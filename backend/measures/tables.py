"""Figures as people read them: tables in Markdown and CSV, and bar charts, one panel per figure."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.output_file import write_file

Row = Mapping[str, Any]

LOW_IS_GOOD = ("fid", "fpd", "chamfer", "seconds")
"""Figures that are better small; all others are better large."""


def csv_table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Comma-separated values with a header; a missing figure is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row.get(name) is None else row[name] for name in columns])
    return text.getvalue()


def markdown_table(rows: Sequence[Row], columns: Sequence[str], *, mark_best: bool = False) -> str:
    """A Markdown table; mark_best sets the best number of each column in bold."""
    best = {name: _best(rows, name) for name in columns} if mark_best else {}
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |"]
    for row in rows:
        cells = []
        for name in columns:
            value = row.get(name)
            cell = _cell(value)
            cells.append(f"**{cell}**" if _is_number(value) and value == best.get(name) else cell)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def save_charts(
    path: Path, series: Mapping[str, Mapping[str, Row]], figures: Sequence[str], *, title: str = ""
) -> None:
    """One panel per figure with a bar per category and series: name -> category -> row. OutputError.

    A figure that nobody has is left out; nothing is written where all are.
    """
    from matplotlib.figure import Figure

    rows = [row for by_category in series.values() for row in by_category.values()]
    shown = [name for name in figures if any(_is_number(row.get(name)) for row in rows)]
    categories = list(dict.fromkeys(category for by_category in series.values() for category in by_category))
    if not shown or not categories:
        return
    width = max(6.0, 0.32 * len(categories) * len(series) + 2.0)
    figure = Figure(figsize=(min(width, 24.0), 2.1 * len(shown) + 0.9), layout="constrained")
    for panel, name in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        bar = 0.8 / len(series)
        for number, (label, by_category) in enumerate(series.items()):
            places = [i for i, c in enumerate(categories) if _is_number(by_category.get(c, {}).get(name))]
            heights = [float(by_category[categories[i]][name]) for i in places]
            left = [i + (number - (len(series) - 1) / 2) * bar for i in places]
            panel.bar(left, heights, width=bar, label=label)
        wish = "lower is better" if name in LOW_IS_GOOD else "higher is better"
        panel.set_title(f"{name} ({wish})", fontsize=9, loc="left")
        panel.set_xticks(range(len(categories)), categories, rotation=45, ha="right", fontsize=7)
        panel.tick_params(axis="y", labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    write_file(path, stream.getvalue())


def _best(rows: Sequence[Row], name: str) -> Any:
    """The best number of a column; None where all are equal."""
    numbers = {row[name] for row in rows if _is_number(row.get(name))}
    if len(numbers) < 2:
        return None
    return min(numbers) if name in LOW_IS_GOOD else max(numbers)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
