"""`python -m backend stylize` and the pipe's stylize requests on a tiny bundle: files, chains, refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from backend.__main__ import main
from backend.errors import IssError
from backend.handlers import HandlerTable, Reply, Request, Update, handler_table
from iss_blender import protocol
from tests.backend.tiny_bundle import CODE_SIZE, TINY_SETTINGS, write_tiny_bundle

QUICK = {
    "steps": 2, "views": 2, "pool": 2, "palettes": 2, "palette_steps": 1, "fit_steps": 3, "fit_points": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stylize = TINY_SETTINGS.stylize.replace(**QUICK)
    settings = TINY_SETTINGS.replace(stylize=stylize)
    return write_tiny_bundle(tmp_path_factory.mktemp("styles"), settings=settings)


@pytest.fixture(scope="module")
def result(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "red"
    command = ["generate", "a red chair", "--bundle", str(bundle), "--device", "cpu", "--steps", "0"]
    assert main([*command, "--threads", "1", "--out", str(out), "--quiet"]) == 0
    return out


def test_styles_write_results_that_chain_and_repeat(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stylize", str(result), "--style", "Blue!", "--seed", "2"]) == 0
    styled = result.with_name("red-blue")
    told = capsys.readouterr()
    assert "decoder.safetensors" in told.out and "stylizing" in told.err
    names = sorted(path.name for path in styled.iterdir())
    assert names == ["decoder.safetensors", "mesh.glb", "mesh.ply", "preview.png", "result.json"]
    before, after = (trimesh.load(folder / "mesh.ply", process=False) for folder in (result, styled))
    assert np.array_equal(before.vertices, after.vertices) and np.array_equal(before.faces, after.faces)
    assert not np.array_equal(before.visual.vertex_colors, after.visual.vertex_colors)

    command = ["stylize", str(styled), "--style", "table", "--mode", "shape-texture", "--strength", "2"]
    assert main([*command, "--steps", "1", "--out", str(tmp_path / "twice"), "--quiet"]) == 0
    record = json.loads((tmp_path / "twice" / "result.json").read_text())
    assert [style["style"] for style in record["recipe"]["styles"]] == ["Blue!", "table"]
    assert record["recipe"]["styles"][1]["settings"]["steps"] == 1 and record["watertight"]

    recipe = str(tmp_path / "twice" / "result.json")
    assert main(["generate", "--recipe", recipe, "--out", str(tmp_path / "again"), "--quiet"]) == 0
    for name in ("mesh.ply", "decoder.safetensors"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--style", " "], "The prompt is empty."),
        (["--style", "red", "--strength", "0"], "strength is 0"),
        (["--style", "red", "--seed", "-1"], "seed is -1"),
        (["--style", "red", "--steps", "-1"], "steps is -1"),
        (["--style", "red", "--format", "obj"], "no mesh format obj"),
        (["--style", "red", "--device", "abacus"], "'abacus' is not available"),
    ],
)
def test_bad_requests_end_with_a_sentence_and_2(
    result: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stylize", str(result), *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_folders_without_a_usable_result_are_explained(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(folder: Path) -> str:
        assert main(["stylize", str(folder), "--style", "red", "--out", str(tmp_path / "out")]) == 2
        return capsys.readouterr().err

    assert "cannot be read" in told(tmp_path)
    record = json.loads((result / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps({**record, "code": []}))
    assert "holds no shape code" in told(tmp_path)
    record["recipe"]["styles"] = [{"style": "blue"}]
    (tmp_path / "result.json").write_text(json.dumps(record))
    assert "decoder.safetensors cannot be read" in told(tmp_path)


# The same over the pipe.


@pytest.fixture(scope="module")
def table(bundle: Path) -> HandlerTable:
    return handler_table(bundle_parents=[bundle.parent], image_folder=bundle.parent / "images")


RECIPE = {"bundle": "tiny", "device": "cpu", "prompt": "a red chair"}
CODE = np.zeros(CODE_SIZE, np.float32)


def _play(
    table: HandlerTable, name: str, arrays: dict[str, Any], **params: Any
) -> tuple[list[Update], Reply]:
    steps = table.handlers[name](Request("j", name, params, arrays))
    updates = []
    while True:
        try:
            updates.append(next(steps))
        except StopIteration as end:
            protocol.encode_frame(protocol.Frame("result", "j", end.value.fields, end.value.arrays))
            return updates, end.value


def test_a_styled_object_crosses_and_can_be_meshed_finer(table: HandlerTable) -> None:
    updates, reply = _play(
        table, "stylize", {"code": CODE}, recipe=RECIPE, style={"style": "blue"}, preview_every=1
    )
    phases = {update.fields["phase"] for update in updates if update.name == "progress"}
    assert phases == {"load", "mesh", "stylize"}
    assert any(update.name == "preview" for update in updates)
    count = len(reply.arrays["vertices"])
    assert reply.arrays["iterate_colors"].shape == (len(reply.fields["iterate_steps"]), count, 3)
    recipe, decoder = reply.fields["recipe"], reply.arrays["decoder"]
    assert recipe["styles"][0]["style"] == "blue" and recipe["styles"][0]["settings"]["steps"] == 2

    changes = {"mesh": {"resolution": 32}}
    _, fine = _play(table, "remesh", {"code": CODE, "decoder": decoder}, recipe=recipe, changes=changes)
    assert len(fine.arrays["vertices"]) > 3 * count
    _, twice = _play(
        table, "stylize", {"code": CODE, "decoder": decoder}, recipe=recipe,
        style={"style": "red", "mode": "shape-texture"}, changes={"stylize": {"steps": 1}},
    )  # fmt: skip
    assert len(twice.fields["recipe"]["styles"]) == 2 and twice.fields["watertight"]
    _, repeated = _play(table, "generate", {}, recipe={**recipe, "start_code": CODE.tolist()})
    assert "decoder" in repeated.arrays


def test_styles_without_settings_take_the_bundles_also_when_refined(table: HandlerTable) -> None:
    recipe = {**RECIPE, "styles": [{"style": "blue"}]}
    changes = {"stage2": {"steps": 0}}
    for name, arrays in (("generate", {}), ("refine", {"code": CODE})):
        _, reply = _play(table, name, arrays, recipe=recipe, changes=changes)
        (style,) = reply.fields["recipe"]["styles"]
        assert style["settings"]["fit_steps"] == QUICK["fit_steps"] and "decoder" in reply.arrays


def test_an_own_mesh_crosses(table: HandlerTable) -> None:
    box = trimesh.creation.box().subdivide()
    arrays = {
        "vertices": box.vertices.astype(np.float32),
        "faces": box.faces.astype(np.int32),
        "samples": np.zeros((5, 3), np.float32),
    }
    _, reply = _play(
        table, "stylize_mesh", arrays, recipe={"bundle": "tiny", "device": "cpu"}, style={"style": "blue"}
    )
    assert reply.arrays["colors"].shape == arrays["vertices"].shape
    assert reply.arrays["sample_colors"].shape == (5, 3)
    assert reply.fields["style"]["style"] == "blue" and reply.fields["bundle"] == "tiny"


@pytest.mark.parametrize(
    ("name", "arrays", "params", "message"),
    [
        ("stylize", {"code": CODE}, {"style": {"style": ""}}, "empty"),
        ("stylize", {"code": CODE}, {"style": []}, "style is"),
        ("stylize", {}, {"style": {"style": "red"}}, "shape code"),
        (
            "stylize",
            {"code": CODE, "decoder": np.zeros(4, np.uint8)},
            {"style": {"style": "red"}},
            "styled decoder",
        ),
        ("stylize", {"code": CODE, "decoder": np.zeros(4)}, {"style": {"style": "red"}}, "came as float64"),
        ("remesh", {"code": CODE}, {"recipe": {**RECIPE, "styles": [{"style": "red"}]}}, "is missing"),
        ("stylize_mesh", {}, {"style": {"style": "red"}}, "without vertices"),
    ],
)
def test_requests_are_refused_with_a_remedy(
    table: HandlerTable, name: str, arrays: dict[str, Any], params: dict[str, Any], message: str
) -> None:
    with pytest.raises(IssError, match=message) as caught:
        _play(table, name, arrays, **{"recipe": RECIPE, **params})
    assert caught.value.remedy
