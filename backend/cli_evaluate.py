"""`python -m backend evaluate`: judge a bundle on a table of prompts, or on the starter's floors; two further
forms set several ways side by side (`evaluate compare A B`, `evaluate paper-table`).

Reports go into a folder; earlier ones stay when the run fails.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from backend.cli_evaluate_compare import add_compare, add_paper_table
from backend.cli_evaluate_parts import (
    MEASURE_SIZES,
    REPORT,
    SHEET,
    add_common,
    cache_of,
    cached_references,
    check_common,
    check_sizes,
    judging_clip,
    load,
    make_measures,
    say,
    warn_of_few,
    write_report,
)
from backend.errors import SettingError

SUITES = ("starter", "judges", "stylize")
_SHOWN = (
    "category_accuracy", "color_accuracy", "clip_score_stage1", "clip_score", "watertight", "seconds_median",
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options and the further forms."""
    add_common(parser)
    add = parser.add_argument
    add("--bundle", default="starter", metavar="NAME", help="model bundle, by name or folder (starter)")
    add("--suite", choices=SUITES, help="starter or stylize: the floors; judges: true shapes")
    add("--paper", type=Path, metavar="FILE", help="suite: CSV file of the paper's prompts and categories")
    add("--measures", action="store_true", help="also FID, FPD, R-precision, Chamfer, F-score and IoU")
    forms = parser.add_subparsers(dest="form", metavar="[FORM]", help="instead of judging one bundle:")
    add_compare(forms)
    add_paper_table(forms)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; returns 0, also where a floor is not reached: the report says so."""
    if arguments.form:
        return arguments.run_form(arguments)
    if (arguments.prompts is None) == (arguments.suite is None):
        raise SettingError(
            "Either a table of prompts or a suite is needed.",
            remedy="Give --prompts FILE or --suite starter.",
        )
    check_common(arguments)
    if arguments.suite:
        from backend.cli_evaluate_suite import run_suite

        return run_suite(arguments)
    return _run_table(arguments)


def _run_table(arguments: argparse.Namespace) -> int:
    from backend.comparison import CATEGORY_COLUMNS, CHARTED
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
    from backend.measures.measurement import FIGURES, Measurement
    from backend.measures.tables import csv_table, save_charts
    from backend.output_file import write_file

    check_sizes(arguments, MEASURE_SIZES)
    rows = read_prompts(arguments.prompts)
    bundle, recipe = load(arguments)
    references = cached_references(arguments.references, seed=1, cache=cache_of(arguments))
    measurement = None
    if arguments.measures:
        measurement = Measurement(make_measures(arguments, references), judging_clip(arguments, bundle))
    verdicts: list[Verdict] = []
    shown: list[tuple[Verdict, list[Any]]] = []
    judged = judge_rows(rows, bundle_maker(bundle, recipe), references, seed=arguments.seed)
    for row, (verdict, mesh) in zip(rows, judged, strict=True):
        verdicts.append(verdict)
        if len(shown) < SHEET_ROWS:
            shown.append((verdict, sheet_pictures(mesh)))
        if measurement is not None:
            measurement.add(row, mesh)
        say(f"{len(verdicts)}/{len(rows)} {verdict.prompt}: {verdict.category_seen} {verdict.color_seen}")
    report = {"bundle": bundle.name, "bundle_sha256": bundle.sha256, **summarize(verdicts)}
    shown_keys = [*_SHOWN]
    if measurement is not None:
        measures = measurement.figures()
        warn_of_few(measures)
        for name, own in measures.pop("categories").items():
            report["categories"][name] = {**own, **report["categories"][name]}
        report |= {name: measures.pop(name) for name in FIGURES} | {"measures": measures}
        shown_keys += FIGURES
    lines = [{"category": name, **own} for name, own in report["categories"].items()]
    write_file(arguments.out / "categories.csv", csv_table(lines, CATEGORY_COLUMNS).encode())
    save_charts(arguments.out / "charts.png", {bundle.name: report["categories"]}, CHARTED)
    write_report(arguments.out, report, verdict_sheet(shown))
    for key in shown_keys:
        sys.stdout.write(f"{key}: {report[key]}\n")
    sys.stdout.write(f"{arguments.out / REPORT}\n{arguments.out / SHEET}\n")
    return 0
