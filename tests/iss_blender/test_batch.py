"""Batches: prompt lists, plan, records on disk, driving backends, and the script in a process of its own."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iss_blender import batch, jobs
from iss_blender.batch import BatchSettings, Item, Outcome, OutputFolder
from iss_blender.batch_runner import BatchRunner, DeliveryError
from iss_blender.job_requests import batch_text
from iss_blender.prompt_list import PromptListError, Row, read_prompts

ROOT = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).with_name("fake_artist_backend.py")


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_text_list_has_a_prompt_per_line(tmp_path: Path) -> None:
    path = written(tmp_path, "prompts.txt", '\ufeffa "red" chair\n\n# a comment\n  a blue table 🚗  \n')
    assert [row.recipe for row in read_prompts(path)] == [
        {"prompt": 'a "red" chair'},
        {"prompt": "a blue table 🚗"},
    ]


def test_a_csv_list_has_recipe_fields_and_settings(tmp_path: Path) -> None:
    text = (
        "prompt,seed,variations,height_m,preset,stage2.steps,image\r\n"
        '"a chair, red",7,3,0.9,fine,12,\r\n'
        "a table,,,,,,\r\n"
        ",,,,,,photo.png\r\n"
    )
    first, second, third = read_prompts(written(tmp_path, "list.csv", text))
    assert first == Row(
        {"prompt": "a chair, red", "seed": 7},
        preset="fine",
        changes={"stage2": {"steps": 12}},
        variations=3,
        height_m=0.9,
    )
    assert second == Row({"prompt": "a table"})
    assert third.recipe == {"image": str(tmp_path / "photo.png")} and third.title == "photo"


def test_a_json_list_takes_words_objects_and_what_the_panel_exports(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", '["a chair", {"prompt": "a table", "seed": 3, "name": "desk"}]')
    assert [(row.title, row.recipe.get("seed")) for row in read_prompts(path)] == [
        ("a chair", None),
        ("desk", 3),
    ]
    recipe = {"prompt": "a lamp", "seed": 2**62, "settings": {"mesh": {"resolution": 96}}}
    panel = batch_text([{"recipe": recipe, "variations": 1, "height_m": 0.5, "preset": "draft"}])
    (row,) = read_prompts(written(tmp_path, "queue.json", panel))
    assert row == Row(recipe, preset="draft", variations=1, height_m=0.5)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "# nothing\n", "holds no prompt"),
        ("a.csv", "prompt\na,b\n", "line 2 has more cells"),
        ("a.csv", "prompt,colour\na,red\n", "no field 'colour'"),
        ("a.csv", "prompt,seed\na,many\n", "seed is 'many', not a whole number"),
        ("a.csv", "prompt,seed\n,1\n", "neither a prompt nor an image"),
        ("a.csv", "prompt,variations\na,0\n", "variations is 0"),
        ("a.json", "{", "not JSON"),
        ("a.json", '{"jobs": []}', "format None"),
        ("a.json", '{"format": "iss-batch", "version": 9, "jobs": []}', "version 9"),
        ("a.json", "[3]", "row 1 is 3"),
        ("a.json", '[{"prompt": "a", "seed": 1.5}]', "seed is 1.5"),
        ("a.json", '[{"prompt": "a", "height_m": -1}]', "height_m is -1"),
        ("a.json", '[{"recipe": 3}]', "recipe is 3"),
    ],
)
def test_a_bad_list_is_refused_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(PromptListError, match=message):
        read_prompts(written(tmp_path, name, text))


def test_a_missing_or_unreadable_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptListError, match="cannot be read"):
        read_prompts(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("ein grüner Stuhl".encode("latin-1"))
    with pytest.raises(PromptListError, match="not UTF-8"):
        read_prompts(tmp_path / "latin.txt")


def test_the_plan_has_an_item_per_seed_with_stable_names() -> None:
    rows = [
        Row({"prompt": "A red Chair!"}),
        Row({"prompt": "椅子", "seed": 9}, variations=1),
        Row({"prompt": "x", "settings": {"mesh": {}}}, height_m=2.0),
    ]
    items = batch.plan(rows, BatchSettings(variations=2, seed=5, preset="draft", bundle="b", device="cpu"))
    assert [(item.stem, item.height_m) for item in items] == [
        ("001-a-red-chair-s5", 1.0),
        ("001-a-red-chair-s6", 1.0),
        ("002-result-s9", 1.0),
        ("003-x-s5", 2.0),
        ("003-x-s6", 2.0),
    ]
    recipe = {"bundle": "b", "device": "cpu", "prompt": "A red Chair!", "seed": 5}
    assert items[0].params == {"recipe": recipe, "preset": "draft"}
    assert "preset" not in items[3].params  # the recipe's own settings count
    assert len({item.digest for item in items}) == 5
    again = batch.plan(rows, BatchSettings(variations=2, seed=5, preset="fine", bundle="b", device="cpu"))
    assert again[0].digest != items[0].digest and again[3].digest == items[3].digest


def one_item(**settings: Any) -> Item:
    return batch.plan([Row({"prompt": "a chair"})], BatchSettings(**settings))[0]


def test_a_column_of_styles_gives_each_shape_more_looks(tmp_path: Path) -> None:
    text = (
        "prompt,styles,style_mode,style_strength,seed\n"
        "a chair,zebra; wooden > icy;,shape-texture,0.5,3\n"
        "a table,,,,\n"
    )
    rows = read_prompts(written(tmp_path, "styles.csv", text))
    style = {"mode": "shape-texture", "strength": 0.5}
    assert rows[0].looks == (
        ({"style": "zebra", **style},),
        ({"style": "wooden", **style}, {"style": "icy", **style}),
    )
    items = batch.plan(rows, BatchSettings())
    assert [item.stem for item in items] == [
        "001-a-chair-s3", "001-a-chair-s3-1-zebra", "001-a-chair-s3-2-wooden-icy", "002-a-table-s0",
    ]  # fmt: skip
    assert [item.title for item in items][1:3] == ["a chair, zebra", "a chair, wooden > icy"]
    assert "styles" not in items[0].params["recipe"] and len(items[2].params["recipe"]["styles"]) == 2
    assert len({item.digest for item in items}) == 4
    listed = written(
        tmp_path, "a.json", '[{"prompt": "a chair", "styles": ["zebra", "red"], "variations": 2}]'
    )
    (row,) = read_prompts(listed)
    assert [chain[0]["style"] for chain in row.looks] == ["zebra", "red"] and len(
        batch.plan([row], BatchSettings())
    ) == 6


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("zebra > > icy,,", "have a gap"),
        ("zebra,shape,", "style_mode is 'shape'"),
        ("zebra,,9", "style_strength is 9"),
    ],
)
def test_bad_styles_are_refused_with_their_place(tmp_path: Path, cells: str, message: str) -> None:
    path = written(tmp_path, "s.csv", f"prompt,styles,style_mode,style_strength\na chair,{cells}\n")
    with pytest.raises(PromptListError, match=f"line 2: .*{message}"):
        read_prompts(path)


def test_an_item_counts_as_done_only_when_its_record_and_files_are_whole(tmp_path: Path) -> None:
    folder, item = OutputFolder(tmp_path / "out"), one_item()
    folder.prepare()
    assert folder.finished(item) is None
    (folder.staging(item) / "001-a-chair-s0.glb").write_bytes(b"four")
    assert folder.finished(item) is None  # as after a kill before the record
    record = folder.commit(item, {"score": 0.5})
    assert record["files"] == {"001-a-chair-s0.glb": 4}
    assert folder.finished(item) == record
    assert folder.finished(one_item(preset="fine")) is None  # asked for differently now
    (folder.path / "001-a-chair-s0.glb").write_bytes(b"cut")
    assert folder.finished(item) is None
    (folder.path / "001-a-chair-s0.glb").unlink()
    assert folder.finished(item) is None


def test_leftovers_of_a_killed_run_are_removed_and_damaged_records_redone(tmp_path: Path) -> None:
    folder, item = OutputFolder(tmp_path), one_item()
    (folder.staging(item) / "half.blend").write_bytes(b"x")
    folder.prepare()
    assert list(tmp_path.iterdir()) == []
    folder.staging(item)
    folder.commit(item, {})
    for damage in ('{"digest"', "[]", '{"digest": 3}', json.dumps({"digest": item.digest, "files": 3})):
        (tmp_path / f"{item.stem}.json").write_text(damage)
        assert folder.finished(item) is None


def test_the_report_counts_and_tells_each_item() -> None:
    items = batch.plan([Row({"prompt": p}) for p in ("a", "b", "c")], BatchSettings())
    outcomes = [
        Outcome(items[0], batch.DONE, {"score": 0.3, "seconds": {"mesh": 1.0}, "files": {"x.glb": 3}}),
        Outcome(items[1], batch.FAILED, error={"code": "prompt", "message": "No.", "remedy": ""}),
        Outcome(items[2], batch.SKIPPED),
    ]
    told = batch.report(outcomes, started=0.0, wall_s=2.0, ended=True)
    assert told["counts"] == {"done": 1, "skipped": 1, "failed": 1, "waiting": 0}
    assert (told["exit_code"], told["started"]) == (3, "1970-01-01T00:00:00Z")
    assert told["items"][0]["score"] == 0.3 and told["items"][0]["files"] == ["x.glb"]
    assert told["items"][1]["error"]["code"] == "prompt"
    assert batch.exit_code([outcomes[0], outcomes[2]]) == 0


class FakeClient:
    """Answers at the next poll as `answers` says by prompt: a result, or the code of a failure."""

    def __init__(self, answers: dict[str, list[str]], *, starts: bool = True) -> None:
        self.answers, self.starts = answers, starts
        self.news: list[jobs.ClientEvent] = []
        self.restarts, self.together = 0, 0
        if not starts:
            self.news.append(jobs.BackendFailed(jobs.Failure("start", "It does not start.")))

    def submit(self, name: str, params: dict[str, Any], arrays: dict[str, Any], *, title: str) -> jobs.Job:
        job = jobs.Job(f"job{id(params)}", name, params, arrays)
        if self.starts:
            answer = self.answers.get(params["recipe"]["prompt"], ["result"])
            self.news += self.events(job, answer.pop(0) if len(answer) > 1 else answer[0])
        return job

    def events(self, job: jobs.Job, answer: str) -> list[jobs.ClientEvent]:
        if answer == "result":
            return [jobs.JobFinished(job, {"scores": [0.5]}, {})]
        failure = jobs.Failure(answer, "It went wrong.", "Do it differently.")
        dead: list[jobs.ClientEvent] = [jobs.BackendFailed(failure)] if answer == "died" else []
        return [jobs.JobFailed(job, failure), *dead]

    def poll(self) -> list[jobs.ClientEvent]:
        news, self.news = self.news, []
        return news

    def restart(self) -> None:
        self.restarts += 1
        event = jobs.BackendReady(jobs.Hello("fake", "cpu", [], {}))
        self.news.append(event if self.starts else jobs.BackendFailed(jobs.Failure("start", "No.")))

    def cancel(self, job_id: str) -> None:
        pass

    def forget(self, job_id: str) -> None:
        pass


def run(clients: list[FakeClient], prompts: list[str], deliver: Any = None) -> list[Outcome]:
    items = batch.plan([Row({"prompt": prompt}) for prompt in prompts], BatchSettings())
    outcomes = [Outcome(item) for item in items]
    waits: list[float] = []
    deliver = deliver or (lambda outcome, fields, arrays: outcome.record.update(fields))
    BatchRunner(clients, outcomes, deliver, wait=waits.append).run()  # type: ignore[arg-type]
    assert len(waits) < 10
    return outcomes


def test_one_failing_prompt_does_not_stop_the_rest() -> None:
    outcomes = run([FakeClient({"bad": ["prompt"]})], ["a", "bad", "c"])
    assert [o.state for o in outcomes] == ["done", "failed", "done"]
    assert outcomes[1].error == {
        "code": "prompt",
        "message": "It went wrong.",
        "remedy": "Do it differently.",
    }
    assert outcomes[1].attempts == 1 and outcomes[0].record["total_s"] >= 0


def test_a_backend_that_dies_is_restarted_and_its_item_tried_once_more() -> None:
    client = FakeClient({"once": ["died", "result"], "always": ["died"]})
    outcomes = run([client], ["once", "always", "c"])
    assert [(o.state, o.attempts) for o in outcomes] == [("done", 2), ("failed", 2), ("done", 1)]
    assert client.restarts == 3


def test_a_backend_that_never_starts_fails_everything_and_ends() -> None:
    outcomes = run([FakeClient({}, starts=False)], ["a", "b"])
    assert [(o.state, o.error["code"]) for o in outcomes] == [("failed", "start")] * 2


def test_another_backend_takes_over_from_one_that_never_starts() -> None:
    outcomes = run([FakeClient({}, starts=False), FakeClient({})], ["a", "b", "c"])
    assert [o.state for o in outcomes] == ["done"] * 3


def test_a_result_that_cannot_be_written_fails_alone(tmp_path: Path) -> None:
    def deliver(outcome: Outcome, fields: Any, arrays: Any) -> None:
        if outcome.item.number == 1:
            raise DeliveryError("export", "Blender did not write it.")
        if outcome.item.number == 2:
            raise OSError(28, "No space left on device")

    outcomes = run([FakeClient({})], ["a", "b", "c"], deliver)
    assert [(o.state, o.error.get("code")) for o in outcomes] == [
        ("failed", "export"),
        ("failed", "output"),
        ("done", None),
    ]


def test_a_missing_picture_fails_its_item_alone(tmp_path: Path) -> None:
    rows = [Row({"image": str(tmp_path / "none.png")}), Row({"prompt": "a"})]
    outcomes = [Outcome(item) for item in batch.plan(rows, BatchSettings())]
    BatchRunner([FakeClient({})], outcomes, lambda *_: None).run()  # type: ignore[list-item]
    assert [(o.state, o.error.get("code")) for o in outcomes] == [("failed", "image"), ("done", None)]


def script(folder: Path, *options: str, backend: str = "") -> list[str]:
    fake = backend or shlex.join([sys.executable, str(FAKE)])
    program = [sys.executable, str(ROOT / "scripts" / "batch.py"), "--out", str(folder / "out")]
    return [*program, "--backend", fake, *options]


def finish(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--formats", "stl"], "no format stl"),
        (["--variations", "0"], "variations is 0"),
        (["--jobs", "99"], "jobs is 99"),
        (["--bake", "100"], "bake is 100"),
        (["--height", "0"], "height is 0"),
        (["--prompts", "missing.txt"], "cannot be read"),
        (["--colour"], "unrecognized arguments"),
    ],
)
def test_bad_arguments_end_with_code_2_and_make_nothing(
    tmp_path: Path, capsys: Any, options: list[str], message: str
) -> None:
    from scripts import batch as program

    prompts = written(tmp_path, "prompts.txt", "a chair\n")
    arguments = ["--prompts", str(prompts), "--out", str(tmp_path / "out"), "--backend", "x", *options]
    try:
        code = program.main(arguments)
    except SystemExit as end:  # how argparse refuses
        code = end.code
    assert code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_script_takes_its_own_arguments_only() -> None:
    from scripts.batch import own_arguments

    assert own_arguments(["blender", "-b", "-P", "scripts/batch.py", "--", "--jobs", "2"]) == ["--jobs", "2"]
    assert own_arguments(["/usr/bin/blender", "-b", "-P", "scripts/batch.py"]) == []
    assert own_arguments(["scripts/batch.py", "--jobs", "2"]) == ["--jobs", "2"]


@pytest.mark.bpy
def test_a_batch_writes_every_format_a_report_and_a_sheet(blender: Any, tmp_path: Path) -> None:
    """Two prompts with two seeds on two backends, one of which fails: code 3, the rest is there."""
    prompts = written(tmp_path, "prompts.txt", 'a "red" chair 🚗\nfail please\n')
    options = ["--formats", "blend,glb,ply,png", "--variations", "2", "--jobs", "2", "--height", "2"]
    done = finish(script(tmp_path, "--prompts", str(prompts), *options, "--size", "64", "--assets"))
    assert done.returncode == batch.SOME_FAILED, done.stdout + done.stderr
    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["counts"] == {"done": 2, "skipped": 0, "failed": 2, "waiting": 0} and report["ended"]
    first, failed = report["items"][0], report["items"][2]
    stem = "001-a-red-chair-s0"
    shown = [name for name in first["files"] if not name.startswith(".")]
    assert shown == [f"{stem}.blend", f"{stem}.glb", f"{stem}.ply", f"{stem}.png"]
    assert first["prompt"] == 'a "red" chair 🚗' and first["score"] == pytest.approx(0.21)
    assert first["seconds"]["files"] > 0
    assert failed["error"] == {
        "code": "prompt",
        "message": "The words are bad.",
        "remedy": "Say it differently.",
    }
    assert (out / "contact_sheet.png").read_bytes()[:4] == b"\x89PNG"
    assert "[4/4]" in done.stdout and "FAILED fail please" in done.stdout

    glb = (out / f"{stem}.glb").read_bytes()
    length = int.from_bytes(glb[12:16], "little")
    document = json.loads(glb[20 : 20 + length])
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    assert "COLOR_0" in attributes
    position = document["accessors"][attributes["POSITION"]]
    np.testing.assert_allclose(position["min"][1], 0.0, atol=1e-6)  # y up, 2 m high
    np.testing.assert_allclose(position["max"][1], 2.0, atol=1e-6)

    blender.ops.wm.open_mainfile(filepath=str(out / f"{stem}.blend"))
    (obj,) = blender.data.objects
    assert obj["iss_prompt"] == 'a "red" chair 🚗' and obj.asset_data is not None
    np.testing.assert_allclose(obj.dimensions[2], 2.0, atol=1e-6)
    blender.ops.wm.read_factory_settings(use_empty=True)


@pytest.mark.bpy
def test_resume_after_a_kill_keeps_what_is_done_and_makes_the_rest(blender: Any, tmp_path: Path) -> None:
    prompts = written(tmp_path, "prompts.txt", "a red chair\na slow table\n")
    options = ["--prompts", str(prompts), "--formats", "png", "--size", "32"]
    out = tmp_path / "out"
    kept = out / "001-a-red-chair-s0.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(script(tmp_path, *options), start_new_session=True, **quiet)
    deadline = time.monotonic() + 240
    while not kept.exists() and time.monotonic() < deadline:  # the second prompt never ends
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = kept.read_bytes()
    assert json.loads((out / "report.json").read_text("utf-8"))["ended"] is False
    (out / ".unfinished-002-a-slow-table-s0").mkdir(exist_ok=True)
    quick = written(tmp_path, "prompts.txt", "a red chair\na quick table\n")
    again = finish(script(tmp_path, *options, "--resume"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert quick == prompts and kept.read_bytes() == before
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [item["state"] for item in report["items"]] == ["skipped", "done"]
    assert not list(out.glob(".unfinished-*"))
    last = finish(script(tmp_path, *options, "--resume", backend="no-such-program"))  # none is needed
    assert last.returncode == 0 and "2 were there" in last.stdout
