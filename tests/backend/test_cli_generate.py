"""`python -m backend generate` in this process: files, repetition, refusals, Ctrl-C, a full disk."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from backend import results
from backend.__main__ import COMMANDS, main
from backend.cli_progress import ProgressDisplay, StopRequest
from backend.config import PipelineSettings
from backend.errors import OutputError
from backend.events import Progress
from tests.backend.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bundle(tmp_path_factory.mktemp("cli")))


def _generate(bundle: str, out: Path, *more: str) -> int:
    return main(["generate", "a red chair", "--bundle", bundle, "--out", str(out), "--device", "cpu", *more])


def test_a_result_folder_holds_meshes_preview_and_recipe(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _generate(bundle, tmp_path / "out", "--seed", "3", "--steps", "1", "--max-faces", "400") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["mesh.glb", "mesh.ply", "preview.png", "result.json"]
    record = json.loads((tmp_path / "out" / "result.json").read_text())
    assert record["recipe"]["seed"] == 3 and record["recipe"]["settings"]["stage2"]["steps"] == 1
    assert len(record["scores"]) == 2 and record["watertight"] and len(record["code"]) == 4
    mesh = trimesh.load(tmp_path / "out" / "mesh.ply")
    assert len(mesh.faces) == record["faces"] <= 400
    with Image.open(tmp_path / "out" / "preview.png") as picture:
        width, height = picture.size
    assert width >= 4 * height
    told = capsys.readouterr()
    assert "mesh.glb" in told.out and "meshing 100/100" in told.err


def test_a_recipe_repeats_a_result_bit_for_bit(bundle: str, tmp_path: Path) -> None:
    assert _generate(bundle, tmp_path / "first", "--seed", "9", "--threads", "1") == 0
    recipe = str(tmp_path / "first" / "result.json")
    assert main(["generate", "--recipe", recipe, "--out", str(tmp_path / "again"), "--quiet"]) == 0
    for name in ("mesh.ply", "mesh.glb", "preview.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert main(["generate", "--recipe", recipe, "--seed", "2", "--out", str(tmp_path / "no")]) == 2


def test_variations_get_folders_and_other_seeds(bundle: str, tmp_path: Path) -> None:
    assert _generate(bundle, tmp_path, "--variations", "2", "--steps", "0", "--format", "ply", "--quiet") == 0
    records = [json.loads((tmp_path / f"variation-{i}" / "result.json").read_text()) for i in (1, 2)]
    assert [record["recipe"]["seed"] for record in records] == [0, 1]
    assert not np.allclose(records[0]["code"], records[1]["code"])
    assert not (tmp_path / "variation-1" / "mesh.glb").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate"], "The prompt is empty."),
        (["generate", "x" * 10_000], "10000 characters"),
        (["generate", "a\x07b"], "U+0007"),
        (["generate", "a", "--seed", "-1"], "seed is -1"),
        (["generate", "a", "--variations", "0"], "variations is 0"),
        (["generate", "a", "--bundle", "nowhere"], "no bundle 'nowhere'"),
        (["generate", "a", "--device", "abacus"], "'abacus' is not available"),
        (["generate", "a", "--format", "obj"], "no mesh format obj"),
        (["generate", "--recipe", "nowhere.json"], "nowhere.json cannot be read"),
    ],
)
def test_bad_requests_end_with_a_sentence_and_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([*arguments, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told
    assert not out.exists()


@pytest.mark.parametrize("option", ["--mesh-resolution", "--view-size", "--views"])
def test_sizes_out_of_range_are_refused(
    bundle: str, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _generate(bundle, tmp_path, option, "100000") == 2
    assert "is 100000, outside" in capsys.readouterr().err


def test_an_output_place_that_cannot_be_written_is_refused(bundle: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _generate(bundle, tmp_path / "file") == 2
    assert _generate(bundle, tmp_path / "file" / "out") == 2
    assert _generate(bundle, tmp_path / ("n" * 300)) == 2
    with pytest.raises(OutputError, match="has 1 MB free"):
        results.check_output(tmp_path, free_bytes=2**20)


def test_formats_count_once() -> None:
    assert results.check_formats(("ply", "glb", "ply")) == ("ply", "glb")


def test_a_full_disk_leaves_the_earlier_result(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _generate(bundle, tmp_path, "--steps", "0", "--quiet") == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    assert _generate(bundle, tmp_path, "--steps", "0", "--seed", "5", "--quiet") == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_too_little_memory_is_a_fault(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("backend.bundles.memory_needed", lambda record: 2**60)
    assert _generate(bundle, tmp_path / "out") == 1
    assert "memory are free" in capsys.readouterr().err


def test_running_out_of_memory_while_loading_is_a_fault(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*ignored: object) -> None:
        raise RuntimeError("unable to mmap 8 bytes from file: Cannot allocate memory (12)")

    monkeypatch.setattr("backend.bundles.load_strictly", fail)
    assert _generate(bundle, tmp_path / "out") == 1
    assert "The memory did not suffice for loading the bundle." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_in_the_way_of_one_file_leaves_the_others(bundle: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    (tmp_path / "mesh.glb").write_text("earlier")
    assert _generate(bundle, tmp_path, "--steps", "0", "--quiet") == 2
    assert (tmp_path / "mesh.glb").read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mesh.glb", "result.json"]


def test_every_variation_must_be_writable_beforehand(bundle: str, tmp_path: Path) -> None:
    (tmp_path / "variation-2").write_text("")
    assert _generate(bundle, tmp_path, "--variations", "2") == 2
    assert not (tmp_path / "variation-1").exists()


def test_ctrl_c_while_loading_says_that_nothing_was_written(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("backend.device.require_memory", lambda needed: signal.raise_signal(signal.SIGINT))
    assert _generate(bundle, tmp_path / "out") == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_keeps_the_best_result_so_far(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    shown = []

    def press(self: ProgressDisplay, event: Progress) -> None:
        shown.append(event)
        if event.phase == "guide" and event.step == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressDisplay, "show", press)
    assert _generate(bundle, tmp_path) == 130
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["stopped"] and record["recipe"]["settings"]["stage2"]["steps"] == len(record["scores"]) - 1
    assert max(event.step for event in shown if event.phase == "guide") < 3
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_stops_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequest("stopping") as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop()
        signal.raise_signal(signal.SIGINT)


def test_plain_lines_and_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, wanted in (
        (io.StringIO(), "text guidance 20/20, score 0.500"),
        (Terminal(), "text guidance"),
    ):
        with ProgressDisplay(PipelineSettings(), stream=stream) as display:
            display.show(Progress("propose", 1, 8, 0.25))
            display.show(Progress("guide", 20, 20, 0.5))
            display.say("Warning: w")
        assert wanted in stream.getvalue() and "Warning: w" in stream.getvalue()


def test_a_terminal_that_tells_no_size_gets_a_bar_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("tqdm.std._screen_shape_wrapper", lambda: lambda stream: (0, 0))
    stream = Terminal()
    with ProgressDisplay(PipelineSettings(), stream=stream) as display:
        display.show(Progress("guide", 20, 20, 0.5))
    assert "00:00 <" in stream.getvalue() and "|" in stream.getvalue()


def test_a_reader_that_leaves_does_not_end_the_work() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    with ProgressDisplay(PipelineSettings(), stream=Closed()) as display:
        display.show(Progress("propose", 1, 8, 0.25))
        display.show(Progress("guide", 20, 20, 0.5))


def test_the_overview_needs_no_torch_and_lists_the_commands() -> None:
    code = "import sys, backend.__main__, backend.cli_generate; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == 2
    assert {"generate", "serve", "models", "doctor"} <= set(COMMANDS)


def test_models_lists_sound_and_damaged_bundles(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("backend.bundle_places.bundle_folders", lambda extra=(): [Path(bundle).parent])
    assert main(["models"]) == 0
    assert "mapper regressor" in capsys.readouterr().out
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "bundle.json").write_text("{}")
    monkeypatch.setattr("backend.bundle_places.bundle_folders", lambda extra=(): [tmp_path])
    assert main(["models"]) == 2
    assert "broken: DAMAGED" in capsys.readouterr().out
