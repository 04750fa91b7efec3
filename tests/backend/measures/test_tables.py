"""Tables and charts of figures."""

from pathlib import Path

from backend.measures.tables import csv_table, markdown_table, save_charts

ROWS = [
    {"method": "ISS", "fid": 10.0, "f_score": 0.5, "seconds": 3},
    {"method": "other, worse", "fid": 12.5, "f_score": 0.25, "seconds": None},
]
COLUMNS = ("method", "fid", "f_score", "seconds")


def test_tables_as_text() -> None:
    assert csv_table(ROWS, COLUMNS).splitlines() == [
        "method,fid,f_score,seconds", "ISS,10.0,0.5,3", '"other, worse",12.5,0.25,',
    ]  # fmt: skip
    assert markdown_table(ROWS, COLUMNS, mark_best=True).splitlines() == [
        "| method | fid | f_score | seconds |",
        "| --- | --- | --- | --- |",
        "| ISS | **10** | **0.5** | 3 |",
        "| other, worse | 12.5 | 0.25 | – |",
    ]


def test_charts_show_the_figures_that_there_are(tmp_path: Path) -> None:
    series = {"a": {"mug": {"fid": 1.0, "iou": None}}, "b": {"mug": {"fid": 2.0}, "car": {"fid": 3.0}}}
    save_charts(tmp_path / "charts.png", series, ("fid", "iou"), title="two bundles")
    assert (tmp_path / "charts.png").read_bytes()[:4] == b"\x89PNG"
    save_charts(tmp_path / "none.png", {"a": {"mug": {"iou": None}}}, ("iou",))
    assert not (tmp_path / "none.png").exists()
