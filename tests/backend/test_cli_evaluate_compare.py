"""Bundles side by side, and the paper's table of ablations and baselines, on tiny weights."""

import json
from pathlib import Path

import pytest

from backend.__main__ import main
from backend.ablations import ablations, untrained_mapper
from backend.bundles import load_bundle
from backend.config import PipelineSettings
from backend.judges.category import References, build_references
from backend.measures.feature_nets import NetSettings
from backend.measures.ruler import MeasureSettings, Ruler, make_ruler
from backend.measures.samples import SampleSettings
from backend.recipe import Recipe
from tests.backend.tiny_bundle import TINY_SETTINGS, write_tiny_bundle

PAIR = ("mug", "rocket")
TABLE = "prompt,category,color\na red mug,mug,red\na rocket,rocket,\n"


@pytest.fixture(scope="module")
def references() -> References:
    return build_references(4, categories=PAIR)


@pytest.fixture(scope="module")
def ruler(references: References) -> Ruler:
    settings = MeasureSettings(
        SampleSettings(shapes=4, views=1, view_size=32, points=64), NetSettings(steps=4, batch=4, points=64)
    )
    return make_ruler(references, settings, categories=PAIR, workers=1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, references: References, ruler: Ruler) -> None:
    """Few references of two categories instead of minutes of drawing."""
    for module in ("backend.cli_evaluate", "backend.cli_evaluate_compare"):
        monkeypatch.setattr(f"{module}.cached_references", lambda count, seed, cache: references)
        monkeypatch.setattr(f"{module}.make_measures", lambda arguments, references: ruler)


def _command(tmp_path: Path, form: list[str]) -> list[str]:
    table = tmp_path / "prompts.csv"
    table.write_text(TABLE)
    return ["evaluate", *form, "--prompts", str(table), "--out", str(tmp_path / "out"), "--threads", "1"]


@pytest.mark.usefixtures("small")
def test_one_bundle_with_measures_and_another_clip_as_judge(tmp_path: Path) -> None:
    own, judge = (str(write_tiny_bundle(tmp_path, seed=seed, name=name)) for seed, name in enumerate("ab"))
    out = tmp_path / "out"
    assert main([*_command(tmp_path, ["--measures"]), "--bundle", own]) == 0
    report = json.loads((out / "report.json").read_text())
    assert {"fid", "fpd", "r_precision", "chamfer", "f_score", "iou", "measures"} < set(report)
    mug = report["categories"]["mug"]
    assert mug["prompts"] == mug["shapes"] == 1 and 0 < mug["chamfer"] < 1 and mug["fid"] is None
    assert report["measures"]["record"]["image_features"] == "trained here"
    assert (out / "categories.csv").read_text().splitlines()[0].endswith("chamfer,f_score,iou")
    assert main([*_command(tmp_path, ["--measures"]), "--bundle", own, "--judge-clip", judge]) == 0
    judged = json.loads((out / "report.json").read_text())
    assert judged["fid"] == report["fid"] and judged["measures"]["clip"] != report["measures"]["clip"]


@pytest.mark.usefixtures("small")
def test_two_bundles_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (str(write_tiny_bundle(tmp_path, seed=seed, name=name)) for seed, name in enumerate("ab"))
    assert main(_command(tmp_path, ["compare", a, b, "--measures"])) == 0
    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text())
    assert set(report["methods"]) == set(report["bundles"]) == {"a", "b"} and report["judge_clip"] == "a"
    table = (out / "table.md").read_text()
    assert table.splitlines()[0].startswith("| method | category_accuracy | color_accuracy | clip | fid |")
    assert table in capsys.readouterr().out and len(table.splitlines()) == 4
    lines = (out / "categories.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["a", "mug", "1"], ["a", "rocket", "1"], ["b", "mug", "1"], ["b", "rocket", "1"],
    ]  # fmt: skip
    for picture in ("sheet.png", "charts.png"):
        assert (out / picture).read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("small")
def test_the_papers_table(tmp_path: Path) -> None:
    bundle, other = (str(write_tiny_bundle(tmp_path, name=name)) for name in ("tiny", "other"))
    sizes = {"forge_shapes": 40, "forge_steps": 3, "dream_steps": 2, "dream_grid": 8, "dream_view_size": 12}
    given = [part for name, value in sizes.items() for part in ("--size", f"{name}={value}")]
    form = ["paper-table", "--bundle", bundle, "--work", str(tmp_path / "work"), "--also", f"mine={other}"]
    assert main([*_command(tmp_path, form), *given]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["methods"]) == [
        "ISS", "without stage 1", "without stage 2", "without the background loss", "mine",
        "CLIP-Forge style", "Dream Fields style",
    ]  # fmt: skip
    assert report["training_seconds"]["CLIP-Forge style"] > 0
    methods = report["methods"]
    assert methods["ISS"]["clip_score"] == methods["mine"]["clip_score"]  # the same weights
    assert methods["without stage 2"]["clip_score"] == methods["without stage 2"]["clip_score_stage1"]
    assert methods["ISS"]["prompts"] != methods["without stage 1"]["prompts"]


def test_an_ablation_takes_one_part_out(tmp_path: Path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path))
    recipe = Recipe(settings=TINY_SETTINGS)
    found = ablations(bundle, recipe, seed=3)
    names = ["ISS", "without stage 1", "without stage 2", "without the background loss"]
    assert list(found) == names and found["ISS"] == (bundle, recipe)
    assert found["without stage 2"][1].settings.stage2.steps == 0
    assert found[names[3]][1].settings.stage2.background_weight == 0.0
    assert found["without stage 1"][1] == recipe
    mapper, own = found["without stage 1"][0].mapper, bundle.mapper
    assert mapper is not None and own is not None
    weight, trained = next(mapper.parameters()), next(own.parameters())
    assert weight.shape == trained.shape and not weight.equal(trained) and not weight.requires_grad
    again = untrained_mapper(bundle, seed=3)
    assert weight.equal(next(again.parameters()))
    without = PipelineSettings(stage2=TINY_SETTINGS.stage2.replace(background_weight=0.0))
    switched = ablations(bundle, Recipe(settings=without))
    assert switched["with the background loss"][1].settings.stage2.background_weight == 3.0


@pytest.mark.parametrize(
    ("form", "part"),
    [
        (["--size", "magic=3"], "no size 'magic'"),
        (["--measures", "--inception", "none.pth"], "no file none.pth"),
        (["--measures", "--reference-images", "nowhere"], "no folder nowhere"),
        (["compare", "starter"], "Only one bundle"),
        (["compare", "starter", "nothing-such"], "no bundle 'nothing-such'"),
        (["paper-table", "--methods", "magic"], "no method 'magic'"),
        (["paper-table", "--size", "forge=3"], "no size 'forge'"),
        (["paper-table", "--size", "forge_shapes=many"], "is not NAME=N"),
        (["paper-table", "--also", "mine"], "is not NAME=BUNDLE"),
        (["paper-table", "--references", "3"], "--references is 3"),
    ],
)
def test_bad_options_are_refused(
    form: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_command(tmp_path, form)) == 2
    assert part in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_forms_need_prompts_and_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "compare", "a", "b", "--out", str(tmp_path)]) == 2
    assert "--prompts" in capsys.readouterr().err
    assert main(["evaluate", "--suite", "starter"]) == 2
    assert "--out" in capsys.readouterr().err
