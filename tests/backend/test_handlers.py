"""The handlers on a tiny bundle: what crosses, what is refused, and that hello needs no torch."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.errors import ImageError, IssError, PromptError, SettingError
from backend.handlers import handler_table
from backend.handlers_request import HandlerTable, Reply, Request, Update
from iss_blender import protocol
from tests.backend.tiny_bundle import CODE_SIZE, RADIUS, write_tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
RECIPE = {"prompt": "a red chair", "bundle": "tiny", "seed": 3, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("bundles")
    write_tiny_bundle(parent)
    return parent


@pytest.fixture(scope="module")
def table(folder: Path) -> HandlerTable:
    return handler_table(bundle_parents=[folder], image_folder=folder / "images")


def play(
    table: HandlerTable, name: str, arrays: dict[str, Any] | None = None, /, **params: Any
) -> tuple[list[Update], Reply]:
    """Run a handler to its end; everything must be able to cross the pipe."""
    steps = table.handlers[name](Request("j", name, params, arrays or {}))
    updates = []
    while True:
        try:
            update = next(steps)
        except StopIteration as end:
            protocol.encode_frame(protocol.Frame("result", "j", end.value.fields, end.value.arrays))
            return updates, end.value
        protocol.encode_frame(protocol.event("j", update.name, update.fields, update.arrays))
        updates.append(update)


@pytest.fixture(scope="module")
def generated(table: HandlerTable) -> tuple[list[Update], Reply]:
    return play(table, "generate", recipe=RECIPE, preview_every=1)


def test_hello_lists_bundles_and_needs_no_torch(folder: Path) -> None:
    program = (
        "import pathlib, sys; from backend.handlers import handler_table\n"
        f"hello = handler_table(bundle_parents=[pathlib.Path({str(folder)!r})]).hello()\n"
        "print(hello['bundles'][0]['name'], hello['bundles'][0]['categories'], hello['presets'])\n"
        "print([name for name in ('torch', 'bpy', 'PIL') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "tiny ['chair', 'table'] ['draft', 'normal', 'fine']\n[]\n"


def test_hello_shows_a_damaged_record_as_a_problem(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bundle.json").write_text("[]")
    (card,) = handler_table(bundle_parents=[tmp_path]).hello()["bundles"]
    assert card["name"] == "bad" and "cannot be read" in card["problem"]


def test_warm_up_tells_the_real_device(table: HandlerTable) -> None:
    news = table.warm_up()
    assert "open_clip" in sys.modules and table.hello()["counts"]["draft"] == {"propose": 4, "guide": 0}
    assert news["devices"][:2] == ["auto", "cpu"] and news["device"]


def test_generate_gives_mesh_code_scores_and_recipe(generated: tuple[list[Update], Reply]) -> None:
    updates, reply = generated
    arrays, fields = reply.arrays, reply.fields
    count = len(arrays["vertices"])
    assert arrays["vertices"].shape == (count, 3) and arrays["vertices"].dtype == np.float32
    assert arrays["colors"].shape == (count, 3) and arrays["colors"].dtype == np.float32
    assert arrays["faces"].dtype == np.int32 and arrays["faces"].max() == count - 1
    # The octahedron of the tiny bundle, whose radius follows the code's first number.
    radius = RADIUS + 0.05 * float(arrays["code"][0])
    np.testing.assert_allclose(np.abs(arrays["vertices"]).sum(axis=1), radius, atol=0.02)
    steps = fields["recipe"]["settings"]["stage2"]["steps"]
    assert len(fields["scores"]) == steps + 1
    assert arrays["codes"].shape == (steps + 1, CODE_SIZE)
    np.testing.assert_array_equal(arrays["codes"][fields["best_step"]], arrays["code"])
    assert fields["recipe"]["prompt"] == "a red chair" and fields["recipe"]["seed"] == 3
    assert fields["recipe"]["bundle_sha256"] and fields["faces"] == len(arrays["faces"])
    phases = [update.fields["phase"] for update in updates if update.name == "progress"]
    assert list(dict.fromkeys(phases)) == ["load", "propose", "guide", "mesh"]
    previews = [update for update in updates if update.name == "preview"]
    assert [update.fields["step"] for update in previews] == list(range(steps + 1))
    assert set(previews[0].arrays) == {"vertices", "faces", "colors"}


def test_a_recipe_that_came_back_repeats_the_result(
    table: HandlerTable, generated: tuple[list[Update], Reply]
) -> None:
    _, again = play(table, "generate", recipe=generated[1].fields["recipe"])
    for name, array in generated[1].arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_preset_and_changes_shape_the_settings(table: HandlerTable) -> None:
    _, reply = play(table, "generate", recipe=RECIPE, preset="draft", changes={"mesh": {"resolution": 20}})
    settings = reply.fields["recipe"]["settings"]
    assert settings["stage2"]["steps"] == 0 and settings["mesh"]["resolution"] == 20
    assert len(reply.fields["scores"]) == 1


def test_an_image_file_crosses_as_bytes(table: HandlerTable, folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "red.png"
    Image.new("RGB", (32, 32), (200, 30, 30)).save(picture)
    data = np.frombuffer(picture.read_bytes(), np.uint8)
    _, reply = play(
        table, "generate", {"image_file": data}, recipe={"bundle": "tiny"}, changes={"stage2": {"steps": 0}}
    )
    kept = Path(reply.fields["recipe"]["image"])
    assert kept.parent == folder / "images" and kept.read_bytes() == picture.read_bytes()
    assert reply.fields["recipe"]["image_sha256"] == kept.name


def test_refine_starts_from_the_given_code(
    table: HandlerTable, generated: tuple[list[Update], Reply]
) -> None:
    code = generated[1].arrays["code"]
    recipe = {**RECIPE, "prompt": "a blue table"}
    _, reply = play(table, "refine", {"code": code}, recipe=recipe, changes={"stage2": {"steps": 2}})
    np.testing.assert_array_equal(reply.arrays["codes"][0], code)
    assert reply.arrays["codes"].shape == (3, CODE_SIZE)
    assert reply.fields["recipe"]["prompt"] == "a blue table"


@pytest.mark.parametrize("weight", [0, 0.25, 1])
def test_blend_lies_between_its_ends(table: HandlerTable, weight: float) -> None:
    first, second = np.zeros(CODE_SIZE, np.float32), np.array([2, 0, 0, 0], np.float32)
    codes = {"code_a": first, "code_b": second}
    _, reply = play(table, "blend", codes, recipe={"bundle": "tiny"}, weight=weight)
    np.testing.assert_allclose(reply.arrays["code"], weight * second)
    radius = RADIUS + 0.05 * 2 * weight
    np.testing.assert_allclose(np.abs(reply.arrays["vertices"]).sum(axis=1), radius, atol=0.02)


def test_remesh_changes_the_resolution_only(table: HandlerTable) -> None:
    code = np.zeros(CODE_SIZE, np.float32)
    faces = []
    for resolution in (16, 32):
        changes = {"mesh": {"resolution": resolution}}
        _, reply = play(table, "remesh", {"code": code}, recipe={"bundle": "tiny"}, changes=changes)
        np.testing.assert_array_equal(reply.arrays["code"], code)
        faces.append(len(reply.arrays["faces"]))
    assert faces[1] > 3 * faces[0]


def test_models_are_listed_and_verified(table: HandlerTable, folder: Path, tmp_path: Path) -> None:
    _, reply = play(table, "models", verify=True)
    (card,) = reply.fields["bundles"]
    assert card["name"] == "tiny" and "problem" not in card
    assert card["settings"]["mesh"]["resolution"] == 16
    damaged = write_tiny_bundle(tmp_path) / "svr.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    _, reply = play(handler_table(bundle_parents=[tmp_path]), "models", verify=True)
    assert "svr.safetensors" in reply.fields["bundles"][0]["problem"]


def test_free_memory_drops_the_models_once(table: HandlerTable) -> None:
    play(table, "remesh", {"code": np.zeros(CODE_SIZE, np.float32)}, recipe={"bundle": "tiny"})
    assert play(table, "free_memory")[1].fields == {"freed": True}
    assert table.free_memory() == {"freed": False}


def test_doctor_reports_each_check(table: HandlerTable) -> None:
    updates, reply = play(table, "doctor", generate=False)
    assert [update.fields["check"] for update in updates] == reply.fields["checks"]
    assert any(check["name"] == "memory" for check in reply.fields["checks"])
    assert "memory" in reply.fields["report"]


@pytest.fixture
def cancelled(table: HandlerTable) -> Iterator[Any]:
    steps = table.handlers["generate"](Request("j", "generate", {"recipe": RECIPE}))
    yield steps
    steps.close()


def test_closing_a_handler_ends_the_pipeline(cancelled: Any) -> None:
    while next(cancelled).fields.get("phase") != "guide":
        pass
    cancelled.close()
    with pytest.raises(StopIteration):
        next(cancelled)


CODE = np.zeros(CODE_SIZE, np.float32)


@pytest.mark.parametrize(
    ("name", "arrays", "params", "problem"),
    [
        ("generate", {}, {"recipe": {**RECIPE, "prompt": "  "}}, PromptError),
        ("generate", {}, {"recipe": {**RECIPE, "colour": 1}}, SettingError),
        ("generate", {}, {"recipe": {**RECIPE, "seed": -1}}, SettingError),
        ("generate", {}, {"recipe": []}, SettingError),
        ("generate", {}, {"recipe": {**RECIPE, "device": "abacus"}}, SettingError),
        ("generate", {}, {"recipe": {**RECIPE, "bundle": "nothing"}}, IssError),
        ("generate", {}, {"recipe": RECIPE, "preset": "perfect"}, SettingError),
        ("generate", {}, {"recipe": RECIPE, "changes": {"mesh": 3}}, SettingError),
        ("generate", {}, {"recipe": RECIPE, "changes": {"mesh": {"resolution": 5}}}, SettingError),
        ("generate", {}, {"recipe": RECIPE, "preview_every": -1}, SettingError),
        ("generate", {"image_file": np.zeros((2, 2))}, {"recipe": RECIPE}, ImageError),
        ("generate", {"image_file": np.zeros(9, np.uint8)}, {"recipe": RECIPE}, ImageError),
        ("refine", {}, {"recipe": RECIPE}, SettingError),
        ("refine", {"code": CODE[:3]}, {"recipe": RECIPE}, SettingError),
        ("refine", {"code": CODE + np.nan}, {"recipe": RECIPE}, SettingError),
        ("blend", {"code_a": CODE, "code_b": CODE}, {"recipe": RECIPE, "weight": 2}, SettingError),
        ("blend", {"code_a": CODE}, {"recipe": RECIPE}, SettingError),
        ("remesh", {"code": CODE[None]}, {"recipe": RECIPE}, SettingError),
    ],
)
def test_refusals_have_a_remedy(
    table: HandlerTable, name: str, arrays: dict[str, Any], params: dict[str, Any], problem: type[IssError]
) -> None:
    with pytest.raises(problem) as caught:
        play(table, name, arrays, **params)
    assert caught.value.remedy
