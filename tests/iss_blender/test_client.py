"""The client against a scripted fake backend: late, stalling, dying, flooding, lying, and well-behaved."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from iss_blender import jobs
from iss_blender.client import BackendClient, Limits
from iss_blender.jobs import BackendFailed, BackendReady, JobCancelled, JobFailed, JobFinished, JobProgress
from iss_blender.journal import Journal
from iss_blender.protocol import MAX_HEADER_BYTES, ProtocolError

FAKE = Path(__file__).with_name("fake_backend.py")
PATIENCE_S = 20.0

Make = Callable[..., BackendClient]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "jobs")
    yield journal
    journal.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    clients = []

    def build(*steps: list[Any], **options: Any) -> BackendClient:
        script = tmp_path / f"script{len(clients)}.json"
        script.write_text(json.dumps(steps))
        command = options.pop("command", [sys.executable, str(FAKE), str(script)])
        client = BackendClient(command, log_path=tmp_path / "logs" / "backend.log", **options)
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.close()


def pump(client: BackendClient, wanted: type, seen: list[Any] | None = None) -> Any:
    """Poll until an event of that type; fail after PATIENCE_S. All events go into `seen`."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        events = client.poll()
        if seen is not None:
            seen += events
        for event in events:
            if isinstance(event, wanted):
                return event
        time.sleep(0.005)
    raise AssertionError(f"no {wanted.__name__}; state {client.state}, log:\n{client.log_tail()}")


def wait_gone(pid: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, f"process {pid} was left behind"
        time.sleep(0.02)


def test_a_job_runs_from_hello_to_result(make: Make) -> None:
    client = make(["hello"], ["expect"], ["event", "progress", {"step": 1}], ["result", {"score": 0.5}])
    job = client.submit("generate", {"prompt": "a chair"}, title="a chair")
    assert (job.state, client.state) == (jobs.QUEUED, jobs.STARTING)
    seen: list[Any] = []
    done = pump(client, JobFinished, seen)
    assert [type(event).__name__ for event in seen] == [
        "BackendReady",
        "JobStarted",
        "JobProgress",
        "JobFinished",
    ]
    assert client.hello is not None and client.hello.backend_version == "fake"
    assert done.fields == {"score": 0.5}
    np.testing.assert_array_equal(done.arrays["vertices"], [0, 1, 2])
    assert job.state == jobs.DONE and job.progress["step"] == 1 and client.running is None
    client.forget(job.id)
    assert client.jobs == []


def test_prompt_and_image_arrive_as_given(make: Make) -> None:
    client = make(["hello"], ["expect"], ["echo"])
    prompt = 'a "red"\nchair 🪑 \\ é\x00'
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    client.submit("generate", {"prompt": prompt}, {"image": image})
    done = pump(client, JobFinished)
    assert done.fields == {"name": "generate", "params": {"prompt": prompt}}
    np.testing.assert_array_equal(done.arrays["image"], image)


def test_jobs_run_one_after_another_in_order(make: Make) -> None:
    client = make(["hello"], *[["expect"], ["echo"]] * 3)
    for number in range(3):
        client.submit("generate", {"n": number})
    order = [pump(client, JobFinished).fields["params"]["n"] for _ in range(3)]
    assert order == [0, 1, 2]


def test_a_late_answer_is_waited_for(make: Make) -> None:
    client = make(["hello"], ["expect"], ["sleep", 0.6], ["result", {}], limits=Limits(silence_s=10))
    client.submit("generate", {})
    pump(client, JobFinished)


def test_settings_are_sent_after_every_start(make: Make) -> None:
    client = make(["hello"], ["expect"], ["log", "configured"], ["expect"], ["result", {}])
    client.configure({"idle_unload_s": 5})
    for _ in range(2):
        client.submit("generate", {})
        pump(client, JobFinished)
        assert client.log_tail() == "configured"
        client.restart()


def test_an_error_crosses_with_code_and_remedy(make: Make) -> None:
    client = make(["hello"], ["expect"], ["log", "trace"], ["error", "prompt", "Empty.", "Type."])
    job = client.submit("generate", {})
    failure = pump(client, JobFailed).failure
    assert (failure.code, failure.message, failure.remedy) == ("prompt", "Empty.", "Type.")
    assert failure.log_tail == "trace"
    assert job.state == jobs.FAILED and client.state == jobs.READY


def test_a_backend_that_hangs_is_noticed_by_its_silence(make: Make) -> None:
    client = make(["hello"], ["expect"], ["sleep", 60], limits=Limits(silence_s=0.3))
    client.submit("generate", {})
    pump(client, BackendReady)
    pid = client.pid
    assert pump(client, BackendFailed).failure.code == "hang"
    assert client.jobs[0].state == jobs.FAILED
    assert pid is not None
    wait_gone(pid)


def test_heartbeats_keep_a_silent_job_alive(make: Make) -> None:
    client = make(["hello"], ["expect"], ["beat", 12, 0.1], ["result", {}], limits=Limits(silence_s=0.6))
    client.submit("generate", {})
    pump(client, JobFinished)


def test_a_pause_of_blender_is_not_the_backends_silence(make: Make) -> None:
    now = [0.0]
    client = make(["hello"], ["expect"], ["expect"], limits=Limits(silence_s=5), clock=lambda: now[0])
    client.start()
    pump(client, BackendReady)
    now[0] += 1000.0
    assert client.poll() == []
    for _ in range(20):
        now[0] += 0.4
        events = client.poll()
    assert isinstance(events[0] if events else client.failure, BackendFailed | jobs.Failure)


def test_a_hang_is_noticed_though_blender_itself_is_slow(make: Make) -> None:
    now = [0.0]
    client = make(["hello"], ["expect"], ["expect"], limits=Limits(silence_s=5), clock=lambda: now[0])
    client.start()
    pump(client, BackendReady)
    for _ in range(20):
        now[0] += 3.0  # a heavy scene: seconds per drawing
        client.poll()
    assert client.failure is not None and client.failure.code == "hang"


def test_death_is_noticed_with_code_and_last_words_and_the_queue_survives(make: Make) -> None:
    client = make(["hello"], ["expect"], ["log", "out of luck"], ["exit", 3])
    first, second = client.submit("generate", {}), client.submit("generate", {})
    failure = pump(client, BackendFailed).failure
    assert failure.code == "died" and "exit code 3" in failure.message and failure.remedy
    assert failure.log_tail == "out of luck"
    assert (first.state, second.state, client.state) == (jobs.FAILED, jobs.QUEUED, jobs.BROKEN)
    client.restart()
    pump(client, BackendReady)
    assert client.running is second


def test_death_is_noticed_within_one_poll(make: Make) -> None:
    client = make(["hello"], ["expect"])
    client.start()
    pump(client, BackendReady)
    assert client.pid is not None
    os.kill(client.pid, signal.SIGKILL)
    # Wait for the end without reaping it, which is the client's part.
    os.waitid(os.P_PID, client.pid, os.WEXITED | os.WNOWAIT)
    assert [type(event) for event in client.poll()] == [BackendFailed]


def test_death_in_the_middle_of_a_frame(make: Make) -> None:
    client = make(["hello"], ["expect"], ["partial", 500], ["exit", 0])
    client.submit("generate", {})
    failure = pump(client, BackendFailed).failure
    assert failure.code == "died" and "middle of a message" in failure.message


def test_a_result_sent_just_before_death_counts(make: Make) -> None:
    client = make(["hello"], ["expect"], ["result", {}, 300_000], ["exit", 1])
    job = client.submit("generate", {})
    seen: list[Any] = []
    pump(client, BackendFailed, seen)
    assert any(isinstance(event, JobFinished) for event in seen) and job.state == jobs.DONE


def test_a_child_that_holds_the_pipe_does_not_hide_the_death(make: Make) -> None:
    client = make(["hello"], ["child", 60], ["exit", 4])
    client.start()
    assert "exit code 4" in pump(client, BackendFailed).failure.message


def test_a_flood_is_taken_in_bounded_portions(make: Make) -> None:
    client = make(["hello"], ["expect"], ["flood", 5000], ["result", {}])
    ticks = iter(range(10**9))
    client._clock = lambda: next(ticks) * 1e-4
    client.submit("generate", {})
    seen: list[Any] = []
    largest = 0
    end = time.monotonic() + PATIENCE_S
    while not any(isinstance(event, JobFinished) for event in seen[-1:]):
        assert time.monotonic() < end
        events = client.poll(budget_s=0.004)
        largest = max(largest, len(events))
        seen += events
    # 40 looks at the clock make up the budget; each frame costs one.
    assert 0 < largest <= 41
    assert [e.fields["step"] for e in seen if isinstance(e, JobProgress)] == list(range(5000))


@pytest.mark.parametrize("before", [[], [["hello"]]])
def test_rubbish_on_standard_output_is_an_error_with_an_excerpt(make: Make, before: list[Any]) -> None:
    client = make(*before, ["print", "Welcome to workstation!\n"], ["sleep", 60])
    client.start()
    failure = pump(client, BackendFailed).failure
    assert (
        failure.code == "protocol" and "Welcome to" in failure.message and "print nothing" in failure.remedy
    )


def test_rubbish_on_standard_error_goes_to_the_log_only(make: Make) -> None:
    client = make(["log_bytes", 100_000], ["hello"], ["expect"], ["result", {}])
    client.submit("generate", {})
    pump(client, JobFinished)
    assert client.log_path.stat().st_size == 200_000
    assert len(client.log_tail()) <= 16 * 1024


@pytest.mark.parametrize("version", [99, "1", None])
def test_another_protocol_version_is_refused_with_a_remedy(make: Make, version: Any) -> None:
    client = make(["hello", version])
    job = client.submit("generate", {})
    failure = pump(client, BackendFailed).failure
    assert failure.code == "version" and "same version" in failure.remedy
    assert job.state == jobs.QUEUED


def test_a_backend_that_does_not_begin_with_hello_is_refused(make: Make) -> None:
    client = make(["event", "progress", {}])
    client.start()
    assert pump(client, BackendFailed).failure.code == "protocol"


def test_an_error_instead_of_hello_is_told(make: Make) -> None:
    client = make(["error", "bundle", "No bundle.", "Install one."])
    client.start()
    assert pump(client, BackendFailed).failure.remedy == "Install one."


def test_a_slow_start_within_the_limit_is_fine_and_beyond_it_has_a_reason(make: Make) -> None:
    fine = make(["sleep", 0.5], ["hello"], limits=Limits(start_s=15))
    fine.start()
    pump(fine, BackendReady)
    slow = make(["sleep", 60], limits=Limits(start_s=0.3))
    slow.start()
    failure = pump(slow, BackendFailed).failure
    assert failure.code == "start_limit" and "0.3 s" in failure.message


def test_a_command_that_does_not_exist_is_a_sentence(make: Make) -> None:
    client = make(command=["/nowhere/python"])
    job = client.submit("generate", {})
    failure = pump(client, BackendFailed).failure
    assert failure.code == "start" and "/nowhere/python" in failure.message and failure.remedy
    assert job.state == jobs.QUEUED


def test_cancel_is_acknowledged(make: Make) -> None:
    client = make(
        ["hello"], ["expect"], ["expect", "cancel"], ["error", "cancelled", "", ""], ["expect"], ["echo"]
    )
    first, second = client.submit("generate", {}), client.submit("generate", {"n": 2})
    while client.running is None:
        client.poll()
    client.cancel(first.id)
    client.cancel(first.id)
    event = pump(client, JobCancelled)
    assert event.job is first and not event.killed and first.state == jobs.CANCELLED
    assert pump(client, JobFinished).job is second


def test_stop_keeps_the_best_of_the_running_job_and_leaves_waiting_ones(make: Make) -> None:
    client = make(
        ["hello"], ["expect"], ["event", "progress", {"phase": "guide"}], ["expect", "stop"],
        ["result", {"n": 1}], ["expect"], ["echo"],
    )  # fmt: skip
    first, second = client.submit("generate", {}), client.submit("generate", {})
    assert not first.can_stop
    pump(client, JobProgress)
    assert first.can_stop and not second.can_stop
    client.stop(second.id)
    client.stop(first.id)
    client.stop(first.id)
    assert (first.stop_requested, second.stop_requested) == (True, False)
    event = pump(client, JobFinished)
    assert event.job is first and event.fields == {"n": 1} and first.state == jobs.DONE
    assert pump(client, JobFinished).job is second


def test_a_cancel_without_answer_kills_and_the_queue_goes_on(make: Make) -> None:
    client = make(["hello"], ["expect"], ["beat", 600, 0.05], limits=Limits(cancel_s=0.3))
    first, second = client.submit("generate", {}), client.submit("generate", {})
    while client.running is None:
        client.poll()
    pid = client.pid
    client.cancel(first.id)
    event = pump(client, JobCancelled)
    assert event.killed and first.state == jobs.CANCELLED and pid is not None
    wait_gone(pid)
    pump(client, BackendReady)
    assert client.running is second and client.pid != pid


def test_a_queued_job_is_cancelled_at_once(make: Make) -> None:
    client = make(["hello"], ["expect"], ["expect"])
    first, second = client.submit("generate", {}), client.submit("generate", {})
    client.cancel(second.id)
    assert second.state == jobs.CANCELLED
    assert pump(client, JobCancelled).job is second
    client.cancel_all()
    assert first.state == jobs.CANCELLED or first.cancel_requested


def test_writes_never_block(make: Make) -> None:
    client = make(["hello"], ["sleep", 60])
    client.start()
    pump(client, BackendReady)
    # Far more than a pipe holds, to a backend that never reads.
    client.submit("generate", {}, {"image": np.zeros(8_000_000, np.uint8)})
    client.poll()
    assert client.running is not None


def test_a_request_that_cannot_cross_is_refused_before_it_is_queued(make: Make) -> None:
    client = make(["hello"])
    with pytest.raises(ProtocolError):
        client.submit("generate", {"prompt": "x" * MAX_HEADER_BYTES})
    assert client.jobs == [] and client.state == jobs.STOPPED


def test_results_are_in_the_journal_before_they_are_told(make: Make, journal: Journal) -> None:
    client = make(["hello"], ["expect"], ["result", {"score": 1.0}, 1_000_000], ["expect"], journal=journal)
    done, waiting = client.submit("generate", {"prompt": "x"}), client.submit("generate", {})
    hidden = client.submit("doctor", {}, kept=False)
    event = pump(client, JobFinished)
    fields, arrays = journal.load_result(done.id)
    assert fields == {"score": 1.0}
    np.testing.assert_array_equal(arrays["vertices"], event.arrays["vertices"])
    assert [entry.id for entry in journal.unimported()] == [done.id]
    client.imported(done.id)
    assert journal.unimported() == []
    assert hidden.id not in [entry.id for entry in journal.entries()]
    client.close()
    assert [entry.id for entry in journal.unfinished()] == [waiting.id]
    again = client.submit(*journal.load_request(waiting.id), job_id=waiting.id)
    assert again.id == waiting.id and journal.unfinished() == []
    assert client.submit("generate", {}, job_id=waiting.id) is again


def test_a_full_journal_does_not_cost_the_result(make: Make, journal: Journal) -> None:
    client = make(["hello"], ["expect"], ["result", {}], journal=journal)
    job = client.submit("generate", {})
    (journal.folder / job.id / "result.npz.part").mkdir()
    assert pump(client, JobFinished).job is job
    assert "cannot be stored" in job.unsaved


def test_close_leaves_no_process_and_may_be_called_twice(make: Make) -> None:
    client = make(["hello"], ["close_input"], ["sleep", 60], limits=Limits(close_s=0.1))
    client.start()
    pump(client, BackendReady)
    pid = client.pid
    assert pid is not None
    client.close()
    assert not psutil.pid_exists(pid)
    client.close()
    assert client.state == jobs.STOPPED and not client.busy


def test_a_wrapper_that_is_killed_leaves_no_child(make: Make) -> None:
    client = make(["hello"], ["child", 60], ["log", "ready"], ["sleep", 60])
    client.start()
    pump(client, BackendReady)
    end = time.monotonic() + PATIENCE_S
    while client.log_tail() != "ready":
        assert time.monotonic() < end
        time.sleep(0.01)
    assert client.pid is not None
    children = psutil.Process(client.pid).children()
    assert len(children) == 1
    client.restart()
    wait_gone(children[0].pid)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE")
@pytest.mark.parametrize("disposition", ["SIG_DFL", "SIG_IGN"])
def test_writing_to_a_dead_backend_does_not_end_blender(disposition: str) -> None:
    """Blender's own Python leaves SIGPIPE at its default, unlike the python program and the bpy module."""
    code = (
        "import os, signal, sys\n"
        "from iss_blender import pipe\n"
        f"signal.signal(signal.SIGPIPE, signal.{disposition})\n"
        "read_fd, write_fd = os.pipe()\n"
        "os.close(read_fd)\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        pipe.write_some(write_fd, memoryview(b'frame'))\n"
        "    except pipe.PipeClosedError:\n"
        "        print('closed')\n"
        "assert not signal.sigpending() and not signal.pthread_sigmask(signal.SIG_BLOCK, set())\n"
        f"assert signal.getsignal(signal.SIGPIPE) == signal.{disposition}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=FAKE.parents[2], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "closed\nclosed\n"), done.stderr


def test_leaving_python_without_close_ends_the_backend(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([["hello"], ["close_input"], ["sleep", 60]]))
    program = (
        "import sys, pathlib; from iss_blender.client import BackendClient\n"
        f"c = BackendClient([sys.executable, {str(FAKE)!r}, {str(script)!r}], log_path=pathlib.Path('log'))\n"
        "c.start()\nwhile not c.hello: c.poll()\nprint(c.pid)"
    )
    env = {**os.environ, "PYTHONPATH": str(FAKE.parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, check=True
    )
    wait_gone(int(done.stdout))
