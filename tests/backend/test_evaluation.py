"""Evaluation: tables of prompts, reports, and the suite's figures on true and on wrong shapes."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.__main__ import main
from backend.bundles import load_bundle
from backend.cli_evaluate_parts import cached_references
from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.prompts import held_out_prompt
from backend.errors import DatasetError, EmptyShapeError, SettingError
from backend.evaluation import (
    Outcome,
    PromptRow,
    bundle_maker,
    judge_rows,
    read_prompts,
    share,
    sheet_pictures,
    summarize,
    verdict_sheet,
)
from backend.judges.attributes import ATTRIBUTES
from backend.judges.category import References, build_references
from backend.judges.parts import PartJudge
from backend.recipe import Recipe
from backend.reconstruction_quality import image_figures, image_overlap
from backend.starter_suite import (
    Figure,
    StarterSizes,
    attribute_claims,
    attribute_figure,
    colorless_figure,
    diversity_figures,
    sharpness_figure,
    stage2_kept,
    text_figures,
    time_figures,
)
from backend.true_shapes import shape_mesh, true_maker
from tests.backend.tiny_bundle import TINY_SETTINGS, write_tiny_bundle

PAPER = Path(__file__).parent.parent / "data" / "paper_prompts.csv"


@pytest.fixture(scope="module")
def references() -> References:
    return build_references(30, categories=("mug", "rocket"))


def _finish(work: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value


def _outcome(category: str, seed: int, score: float = 1.0, color: str = "") -> Outcome:
    shape = make(category, np.random.default_rng([13, seed]), color=color).shape
    return Outcome(shape_mesh(shape, resolution=48), 0.5, score, 2.0)


def _always_a_red_mug(prompt: str, seed: int) -> Outcome:
    if "nothing" in prompt:
        raise EmptyShapeError("The shape is empty.")
    return _outcome("mug", seed, color="red")


def test_the_paper_table_is_read_and_its_words_resolved(tmp_path: Path) -> None:
    rows = read_prompts(PAPER)
    assert len(rows) == 52 and {row.category for row in rows} <= set(CATEGORIES)
    table = tmp_path / "prompts.csv"
    table.write_text('\ufeffprompt,category,color\n"a mug, please",cup,grey\na thing,,\n', encoding="utf-8")
    assert read_prompts(table) == [PromptRow("a mug, please", "mug", "gray"), PromptRow("a thing")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("prompt,category\na mug,mug\n", "has the columns prompt, category"),
        ("prompt,category,color\n", "holds no prompts"),
        ("", "has the columns \\(none\\)"),
        ("prompt,category,color\na mug,dragon,\n", "line 2: There is no category 'dragon'"),
        ("prompt,category,color\na mug,mug,loud\n", "line 2: There is no colour or material 'loud'"),
        ("prompt,category,color\na mug,mug\n,mug,red\n", "line 3: The prompt is empty"),
        ("prompt,category,color\na mug, red,mug,red\n", "line 2: more than 3 columns"),
    ],
)
def test_faulty_tables_are_refused(text: str, part: str, tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    table.write_text(text)
    with pytest.raises(DatasetError, match=part) as caught:
        read_prompts(table)
    assert caught.value.remedy
    with pytest.raises(DatasetError, match="cannot be read"):
        read_prompts(tmp_path / "none.csv")


def test_the_report_counts_what_the_rows_asked_for(references: References) -> None:
    rows = [
        PromptRow("a red mug", "mug", "red"),
        PromptRow("a blue rocket", "rocket", "blue"),
        PromptRow("nothing", "mug", "red"),
        PromptRow("whatever"),
    ]
    judged = list(judge_rows(rows, _always_a_red_mug, references, seed=3))
    report = summarize([verdict for verdict, _ in judged])
    assert report["category_accuracy"] == report["color_accuracy"] == pytest.approx(1 / 3, abs=1e-3)
    assert report["clip_score_stage1"] == 0.5 and report["clip_score"] == 1.0
    assert report["watertight"] == 0.75 and report["seconds_median"] == 2.0
    assert report["categories"]["mug"] == {
        "prompts": 2, "category_accuracy": 0.5, "color_accuracy": 0.5, "clip_score": 1.0,
    }  # fmt: skip
    assert report["prompts"][1]["category_seen"] == "mug" and report["prompts"][1]["color_seen"] == "red"
    assert report["prompts"][2]["error"] == "The shape is empty."
    sheet = verdict_sheet([(verdict, sheet_pictures(mesh)) for verdict, mesh in judged])
    assert sheet.dtype == np.uint8 and sheet.shape[0] >= 4 * 128
    assert share([]) is None and share([None, True, False]) == 0.5


def test_true_shapes_reach_the_text_figures_and_wrong_ones_do_not(references: References) -> None:
    pairs = [held_out_prompt(name, seed=4, index=i) for name in ("mug", "rocket") for i in range(4)]
    prompts = [prompt for prompt, _ in pairs]
    maker = true_maker((prompt.text, sample) for prompt, sample in pairs)
    parts = PartJudge(references=3)
    figures, verdicts = _finish(text_figures(maker, prompts, references, parts=parts))
    named = {figure.name: figure for figure in figures}
    assert named["text to shape: category right"].value >= 0.85
    assert named["meshes watertight and in one piece"].reached and len(verdicts) == 8
    sharp = sharpness_figure(
        figures[-1], references, build_references(4, seed=9, categories=("mug", "rocket"))
    )
    assert 0.85 < sharp.value < 1.2
    figures, _ = _finish(text_figures(_always_a_red_mug, prompts, references, parts=parts))
    wrong = {figure.name: figure for figure in figures}
    assert wrong["text to shape: category right"].value <= 0.5
    assert wrong["similarity to true shapes"].value < named["similarity to true shapes"].value


def test_stage_2_must_not_lose_anything(references: References) -> None:
    good, rocket = _outcome("mug", 1), _outcome("rocket", 1)
    assert stage2_kept(Outcome(good.mesh, 0.5, 0.6, 1.0, good.mesh), references, "mug")
    assert not stage2_kept(Outcome(good.mesh, 0.6, 0.5, 1.0, good.mesh), references, "mug")
    assert not stage2_kept(Outcome(rocket.mesh, 0.5, 0.6, 1.0, good.mesh), references, "mug")


def test_attributes_are_claimed_in_equal_numbers_and_judged() -> None:
    handle = next(a for a in ATTRIBUTES if a.name == "mug handle")
    pairs = attribute_claims(handle, 4)
    values = [prompt.facts["handle"] for prompt, _ in pairs]
    assert values.count(True) == values.count(False) == 2
    maker = true_maker((prompt.text, sample) for prompt, sample in pairs)
    assert _finish(attribute_figure(maker, 4, attributes=[handle])).value >= 0.75

    def with_handle(prompt: str, seed: int) -> Outcome:
        shape = make("mug", np.random.default_rng(1), kind="beer mug").shape
        return Outcome(shape_mesh(shape), 1.0, 1.0, 0.0)

    assert _finish(attribute_figure(with_handle, 4, attributes=[handle])).value == 0.5


def test_seeds_must_differ(references: References) -> None:
    row = [PromptRow("a mug", "mug")]
    same = _finish(diversity_figures(lambda p, s: _outcome("mug", 1), row, 3, references))
    different = _finish(diversity_figures(lambda p, s: _outcome("mug", s), row, 3, references))
    assert same[0].value == 1.0 and not same[0].reached
    assert different[0].value < 0.9 and different[1].value == 1.0


def test_colourless_prompts_must_not_be_muddy() -> None:
    clean = _finish(colorless_figure(lambda p, s: _outcome("mug", s), 2))
    assert clean.value == 1.0

    def muddy(prompt: str, seed: int) -> Outcome:
        good = _outcome("mug", seed)
        noise = np.random.default_rng(seed).uniform(0, 1, good.mesh.colors.shape).astype(np.float32)
        return Outcome(type(good.mesh)(good.mesh.vertices, good.mesh.faces, noise), 1.0, 1.0, 0.0)

    assert _finish(colorless_figure(muddy, 2)).value == 0.0


def test_figures_know_floors_and_ceilings() -> None:
    assert Figure("a", 0.95, 0.95, 1).reached and not Figure("a", 0.94, 0.95, 1).reached
    assert not Figure("a", 0.75, 0.75, 1, at_most=True).reached and not Figure("a", None, 0.1, 0).reached
    warm, cold = time_figures([3.0, 1.0, 2.0], None)
    assert warm.value == 2.0 and warm.reached and not cold.reached
    with pytest.raises(SettingError, match="references"):
        StarterSizes(references=3)


def test_a_bundle_is_measured(tmp_path: Path, references: References) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path))
    maker = bundle_maker(bundle, Recipe(settings=TINY_SETTINGS, threads=1), with_start=True)
    outcome = maker("a red chair", 1)
    assert outcome.mesh.is_watertight() and outcome.start_mesh is not None
    assert outcome.score >= outcome.score_stage1 and outcome.seconds > 0
    mean, worst = _finish(image_figures(bundle, 1))
    # The tiny model answers every image with about the same octahedron, however thin the shape.
    assert 0 <= worst.value < mean.value < 0.6 and set(mean.details) == set(CATEGORIES)
    lowest = min(mean.details, key=mean.details.__getitem__)
    assert worst.details == {lowest: worst.value, "at first": mean.details[lowest]}
    others = [image_overlap(bundle, lowest, index) for index in range(1, 9)]
    assert (mean.count, worst.count) == (24, 8) and worst.value == pytest.approx(np.mean(others), abs=1e-4)


def test_the_command_writes_report_and_sheet(
    tmp_path: Path,
    references: References,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Drawing references of all categories takes a minute; two categories show the same.
    monkeypatch.setattr("backend.judges.category.build_references", lambda count, seed: references)
    folder, out = write_tiny_bundle(tmp_path), tmp_path / "out"
    table = tmp_path / "prompts.csv"
    table.write_text("prompt,category,color\na red chair,chair,red\na table,,\n")
    command = ["evaluate", "--prompts", str(table), "--out", str(out), "--bundle", str(folder)]
    assert main([*command, "--cache", str(tmp_path / "cache")]) == 0
    report = json.loads((out / "report.json").read_text())
    assert {"category_accuracy", "color_accuracy", "clip_score_stage1", "clip_score", "watertight",
            "seconds_median"} <= set(report)  # fmt: skip
    assert report["category_accuracy"] == 0.0 and report["watertight"] == 1.0 and len(report["prompts"]) == 2
    assert (out / "sheet.png").read_bytes()[:4] == b"\x89PNG"
    assert "category_accuracy: 0.0" in capsys.readouterr().out
    assert (out / "categories.csv").read_text().splitlines()[1].startswith("chair,1,0.0,")
    assert (out / "charts.png").read_bytes()[:4] == b"\x89PNG"
    # The references come from the cache now.
    monkeypatch.setattr("backend.judges.category.build_references", None)
    cached = cached_references(84, seed=1, cache=tmp_path / "cache")
    assert np.array_equal(cached.packed, references.packed)
    assert cached.categories.tolist() == references.categories.tolist()


def test_the_commands_refuse_and_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--out", str(tmp_path / "out")]) == 2
    assert "--prompts" in capsys.readouterr().err
    table = tmp_path / "prompts.csv"
    table.write_text("prompt,category,color\na mug,dragon,\n")
    assert main(["evaluate", "--prompts", str(table), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
    assert main(["dataset", "procedural"]) == 2
    page, sheet = tmp_path / "words.md", tmp_path / "sheet.png"
    assert main(["dataset", "procedural", "--vocabulary", str(page), "--sheet", str(sheet), "--categories",
                 "mug", "--columns", "2"]) == 0  # fmt: skip
    assert "### mug" in page.read_text() and sheet.read_bytes()[:4] == b"\x89PNG"
    assert main(["dataset", "procedural", "--sheet", str(sheet), "--categories", "dragon"]) == 2
