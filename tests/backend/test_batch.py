"""Batches of prompts in one process: whole result folders, resume, reports, failures, refusals."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.__main__ import main
from backend.batch_folder import BatchFolder
from backend.batch_ledger import Ledger
from backend.batch_worker import BatchWorker
from backend.errors import OutputError
from iss_blender.batch import BatchSettings, Item, plan
from iss_blender.prompt_list import Row
from tests.backend.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles"))


def _prompts(folder: Path, text: str, name: str = "prompts.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def _report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text("utf-8"))


def test_a_list_becomes_one_whole_folder_per_result_and_resumes(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    table = _prompts(
        tmp_path, 'prompt,seed,stage2.steps,variations\na red chair,5,1,2\n"a table, blue",,,\n,,,\n'
    )
    command = ["batch", str(table), "--out", str(out), "--bundle", str(bundle), "--format", "glb"]
    assert main(command) == 0
    assert "3 done, 0 were there, 0 failed" in capsys.readouterr().out
    report = _report(out)
    names = ["001-a-red-chair-s5", "001-a-red-chair-s6", "002-a-table-blue-s0"]
    assert [item["folder"] for item in report["items"]] == names and report["ended"]
    assert [item["attempts"] for item in report["items"]] == [1, 1, 1]
    files = {"mesh.glb", "preview.png", "result.json", "batch.json"}
    assert all({path.name for path in (out / name).iterdir()} == files for name in names)
    recipe = json.loads((out / names[1] / "result.json").read_text())["recipe"]
    assert (recipe["prompt"], recipe["seed"], recipe["settings"]["stage2"]["steps"]) == ("a red chair", 6, 1)
    assert (out / "contact_sheet.png").read_bytes()[:4] == b"\x89PNG"

    times = {name: (out / name / "mesh.glb").stat().st_mtime_ns for name in names}
    (out / names[2] / "mesh.glb").write_bytes(b"cut off")
    (out / ".unfinished-of-a-killed-run").mkdir()
    assert main([*command, "--resume"]) == 0
    assert "1 done, 2 were there, 0 failed" in capsys.readouterr().out
    after = {name: (out / name / "mesh.glb").stat().st_mtime_ns for name in names}
    assert [after[name] == times[name] for name in names] == [True, True, False]
    assert not list(out.glob(".unfinished*"))
    assert main([*command, "--resume", "--preset", "draft"]) == 0  # asks for other results: all anew
    assert "3 done, 0 were there" in capsys.readouterr().out


def test_one_failure_does_not_stop_the_others(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    rows = [{"image": "none.png"}, {"prompt": "???"}, "a chair", {"prompt": "a", "mesh.resolution": 1}]
    table = _prompts(tmp_path, json.dumps(rows), "prompts.json")
    assert main(["batch", str(table), "--out", str(out), "--bundle", str(bundle)]) == 3
    report = _report(out)
    assert [item["state"] for item in report["items"]] == ["failed", "failed", "done", "failed"]
    codes = [item["error"]["code"] for item in report["items"] if "error" in item]
    assert codes == ["image", "prompt", "setting"]
    assert all(item["error"]["remedy"] for item in report["items"] if "error" in item)
    assert report["exit_code"] == 3 and "FAILED 001-none-s0" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_done_and_resume_goes_on(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, made = tmp_path / "out", []
    table = _prompts(tmp_path, "a chair\na table\na red chair\n", "prompts.txt")
    command = ["batch", str(table), "--out", str(out), "--bundle", str(bundle), "--preset", "draft"]
    real = BatchWorker.make

    def make(self: BatchWorker, *order: Any) -> dict[str, Any]:
        if made:
            raise KeyboardInterrupt
        made.append(order)
        return real(self, *order)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(BatchWorker, "make", make)
        assert main(command) == 130
    assert "--resume goes on" in capsys.readouterr().err
    report = _report(out)
    assert not report["ended"] and [item["state"] for item in report["items"]] == ["done", *["waiting"] * 2]
    assert main([*command, "--resume"]) == 0
    assert "2 done, 1 were there, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--workers", "2"], "--workers and --gpus are for Ray"),
        (["--threads", "-1"], "--threads is -1"),
        (["--variations", "0"], "variations is 0"),
        (["--preset", "best"], "no preset 'best'"),
        (["--format", "obj"], "no mesh format obj"),
        (["--bundle", "no-such"], "no bundle 'no-such'"),
        (["--seed", "-3"], "seed is -3"),
    ],
)
def test_bad_options_are_refused_before_any_work(
    options: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = _prompts(tmp_path, "a chair\n", "prompts.txt")
    assert main(["batch", str(table), "--out", str(tmp_path / "out"), *options]) == 2
    assert part in capsys.readouterr().err
    assert not list(tmp_path.glob("out/0*"))


def test_faulty_lists_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--out", str(tmp_path / "out")]
    assert main(["batch", str(tmp_path / "none.csv"), *command]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["batch", str(_prompts(tmp_path, "prompt,size\na chair,3\n")), *command]) == 2
    assert "no field 'size'" in capsys.readouterr().err


def test_without_ray_the_command_says_how_to_install_it(tmp_path: Path) -> None:
    table = _prompts(tmp_path, "a chair\n", "prompts.txt")
    blocked = (
        "import sys; sys.modules['ray'] = None; from backend.__main__ import main; "
        f"sys.exit(main(['batch', {str(table)!r}, '--out', {str(tmp_path / 'out')!r}, '--ray']))"
    )
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "pip install" in done.stderr and "ray==" in done.stderr


def _item() -> Item:
    return plan([Row({"prompt": "a chair"})], BatchSettings())[0]


def test_a_folder_serves_one_batch_at_a_time_and_replaces_whole_results(tmp_path: Path) -> None:
    item, record = _item(), {"score": 0.5}
    with BatchFolder(tmp_path) as folder:
        folder.commit(item, "first", {"mesh.glb": b"1", "mesh.ply": b"22"}, record)
        assert folder.finished(item, "first") == {
            "score": 0.5, "digest": "first", "files": {"mesh.glb": 1, "mesh.ply": 2},
        }  # fmt: skip
        assert folder.finished(item, "second") is None
        folder.commit(item, "second", {"mesh.glb": b"333"}, record)
        assert {path.name for path in (tmp_path / item.stem).iterdir()} == {"mesh.glb", "batch.json"}
        with pytest.raises(OutputError, match="Another batch is at work"), BatchFolder(tmp_path):
            pass
    with BatchFolder(tmp_path) as folder:
        (tmp_path / item.stem / "mesh.glb").unlink()
        assert folder.finished(item, "second") is None


def test_a_full_disk_fails_the_item_and_leaves_the_earlier_result(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = plan([Row({"prompt": "a chair"})], BatchSettings(bundle=str(bundle)))
    with BatchFolder(tmp_path) as folder:
        folder.commit(items[0], "old", {"mesh.glb": b"old"}, {})
        ledger = Ledger(folder, items, resume=False)

        def refuse(path: Path, data: bytes) -> None:
            raise OutputError(f"{path.name} cannot be written: No space left on device.")

        with monkeypatch.context() as full:
            full.setattr("backend.batch_folder.write_file", refuse)
            full.setattr(BatchFolder, "write_report", lambda self, content: None)
            made = {"files": {"mesh.glb": b"new"}, "record": {"score": 0.1, "total_s": 1.0}}
            ledger.take(ledger.outcomes[0], made, 1)
        assert ledger.outcomes[0].error["code"] == "output" and ledger.exit_code == 3
    assert (tmp_path / items[0].stem / "mesh.glb").read_bytes() == b"old"
