"""Models in Blender: consent before downloads, Use Full CLIP with progress and cancel, the list."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.iss_blender.test_addon_panel import FAILED, Layout


@pytest.fixture
def listed(stage: SimpleNamespace) -> SimpleNamespace:
    """The stage with its models listed."""
    assert stage.ops.list_models() == {"FINISHED"}
    stage.settle()
    return stage


def drawn(stage: SimpleNamespace) -> str:
    """All texts of the preferences and of the sidebar's part; its buttons lie in stage.buttons."""
    texts: list[str] = []
    stage.buttons = []
    layout = Layout(stage.bpy, texts, stage.buttons)
    chosen = SimpleNamespace(layout=layout, **dict.fromkeys(("command", "idle_unload_min"), ""))
    chosen.source = "COMMAND"
    stage.panel_setup.draw_preferences(chosen, stage.bpy.context)
    stage.panel_models.ISS_PT_models.draw(SimpleNamespace(layout=layout), stage.bpy.context)
    text = " ".join(texts)
    assert FAILED not in text
    return text


def finished(stage: SimpleNamespace) -> str:
    """Wait, and give what the last model job told: the fake backend tells what it was asked for."""
    stage.settle()
    assert stage.current.trouble is None
    return str(stage.current.models.told)


def test_before_the_backend_runs_there_is_one_button(stage: SimpleNamespace) -> None:
    text = drawn(stage)
    assert "iss.list_models" in stage.buttons and "iss.use_full_clip" not in stage.buttons
    assert "DVR" not in text
    with pytest.raises(RuntimeError, match="List Models first"):
        stage.ops.install_model(card="dvr-combined", accept=True)
    with pytest.raises(RuntimeError, match="List Models first"):
        stage.ops.use_full_clip(accept=True)


def test_the_preferences_list_terms_and_sizes(listed: SimpleNamespace) -> None:
    text = drawn(listed)
    for part in ("605 MB", "MIT or so", "DVR", "58 MB", "IM-NET", "size not known", "starter", "7 MB"):
        assert part in text, part
    buttons = listed.buttons
    assert buttons.count("iss.install_model") == 3, "download and file for one, only a file for the other"
    assert "wm.url_open" in buttons and "iss.import_model" in buttons
    assert "iss.remove_model" not in buttons, "the starter ships"
    assert "may not go online" in text  # the tests' Blender is offline


def test_nothing_is_asked_of_the_backend_without_consent(listed: SimpleNamespace) -> None:
    before = len(listed.current.client.jobs)
    for operator in (listed.ops.install_model, listed.ops.use_full_clip):
        with pytest.raises(RuntimeError, match="licence is not accepted"):
            operator(card="dvr-combined" if operator is listed.ops.install_model else "vit-b-32")
    with pytest.raises(RuntimeError, match="Fetch it by hand"):
        listed.ops.install_model(card="imnet", accept=True)
    with pytest.raises(RuntimeError, match="There is no file"):
        listed.ops.install_model(card="imnet", accept=True, from_file=True, filepath="/nowhere/x.pt")
    assert len(listed.current.client.jobs) == before


def test_install_passes_the_licence_and_whether_the_network_may_be_used(
    listed: SimpleNamespace, tmp_path: Path
) -> None:
    assert listed.ops.install_model(card="dvr-combined", accept=True) == {"FINISHED"}
    told = finished(listed)
    assert told == "install_model {'name': 'dvr-combined', 'licence': 'MIT', 'online': False}"
    text = drawn(listed)
    assert "takes prompts after Use Full CLIP" in text and "iss.remove_model" in listed.buttons
    file = tmp_path / "weights.pt"
    file.write_bytes(b"x")
    listed.ops.install_model(card="imnet", accept=True, from_file=True, filepath=str(file))
    assert f"'file': '{file}'" in finished(listed)


def test_a_file_is_imported_under_its_name_or_another(listed: SimpleNamespace, tmp_path: Path) -> None:
    file = tmp_path / "my weights.pt"
    file.write_bytes(b"x")
    listed.ops.import_model(filepath=str(file), kind="ss3d", licence="mine")
    assert "'kind': 'ss3d', 'name': 'my-weights', 'licence': 'mine'" in finished(listed)
    listed.ops.import_model(filepath=str(file), kind="dvr")
    assert "'name': 'my-weights-2'" in finished(listed)
    listed.chosen.bundle = "my-weights"
    assert listed.ops.remove_model(name="my-weights") == {"FINISHED"}
    finished(listed)
    assert [card["name"] for card in listed.current.bundles] == ["starter", "my-weights-2"]
    assert listed.chosen.bundle == "starter"


def test_full_clip_becomes_the_scene_s_model(listed: SimpleNamespace) -> None:
    assert listed.ops.use_full_clip(accept=True, shapes=40, steps=20) == {"FINISHED"}
    told = finished(listed)
    for part in ("'svr': 'starter'", "'name': 'starter-full-clip'", "{'known': 'vit-b-32'}",
                 "'licence': 'MIT or so'", "'online': False", "'shapes': 40"):  # fmt: skip
        assert part in told, part
    assert listed.chosen.bundle == "starter-full-clip"
    assert "starter-full-clip" in drawn(listed)
    listed.ops.use_full_clip(accept=True)
    assert "'svr': 'starter-full-clip', 'name': 'starter-full-clip-full-clip'" in finished(listed)


def test_full_clip_from_a_file_needs_no_network(listed: SimpleNamespace, tmp_path: Path) -> None:
    file = tmp_path / "open_clip_model.safetensors"
    file.write_bytes(b"x")
    listed.ops.use_full_clip(accept=True, from_file=True, filepath=str(file), name="mine")
    told = finished(listed)
    assert f"{{'file': '{file}', 'architecture': 'ViT-B-32-quickgelu'}}" in told


def test_progress_and_cancel_are_in_the_panel_and_the_preferences(listed: SimpleNamespace) -> None:
    listed.ops.use_full_clip(accept=True, name="slow")
    client = listed.current.client
    listed.pump(lambda: client.running is not None and client.running.progress)
    text = drawn(listed)
    assert "Downloading 100/605 MB" in text and "iss.cancel" in listed.buttons
    with pytest.raises(RuntimeError, match="being done already"):
        listed.ops.use_full_clip(accept=True, name="other")
    listed.ops.cancel(job_id=client.running.id)
    assert "Stopping..." in drawn(listed)
    assert "goes on where it stopped" in finished(listed)
    assert listed.chosen.bundle == "starter"


def test_a_failure_is_a_sentence_with_a_remedy(listed: SimpleNamespace) -> None:
    listed.ops.use_full_clip(accept=True, name="fail")
    listed.settle()
    text = drawn(listed)
    assert "The file is cut off." in text and "Download it again." in text and "iss.dismiss" in listed.buttons
    listed.ops.dismiss()
    assert "cut off" not in drawn(listed)


def test_verifying_marks_what_is_sound(listed: SimpleNamespace) -> None:
    assert listed.ops.list_models(verify=True) == {"FINISHED"}
    finished(listed)
    assert "files are sound" in drawn(listed)


def test_broken_lists_end_in_a_line(listed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    cards: list[Any] = [{"name": "odd", "bytes": "many", "licence": None, "megabytes": "x"}]
    listed.current.bundles = listed.current.models.known = listed.current.models.clips = cards
    assert "odd" in drawn(listed)
    monkeypatch.setattr(listed.current.models, "clips", 5)
    with pytest.raises(AssertionError):
        drawn(listed)
