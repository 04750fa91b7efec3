"""The server: hello, events, cancel, errors, queue and heartbeats over pipes; in real processes, that
nothing a library prints damages a frame and that no orphan is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from backend import server
from backend.errors import PromptError
from backend.handlers_request import Handler, HandlerTable, Reply, Request, Steps, Update
from backend.server import describe_problem, serve
from iss_blender import protocol
from iss_blender.protocol import Frame, FrameReader, encode_frame

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0


def progress(step: int) -> Update:
    return Update("progress", {"phase": "guide", "step": step})


class Host:
    """A server in a thread of this process, and the add-on's ends of its pipes."""

    def __init__(self, handlers: dict[str, Handler], **table: Any) -> None:
        server_in, self.write_fd = os.pipe()
        self.read_fd, server_out = os.pipe()
        self.server_fds = (server_in, server_out)
        self.reader = FrameReader()
        self.hard_exits: list[int] = []
        self.exit_code: int | None = None
        self.table = HandlerTable(handlers, **table)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        self.exit_code = serve(self.table, *self.server_fds, exit_hard=self.hard_exits.append)

    def send(self, *frames: Frame) -> None:
        os.write(self.write_fd, b"".join(encode_frame(frame) for frame in frames))

    def ask(self, job_id: str, name: str, **params: Any) -> None:
        self.send(protocol.request(job_id, name, params))

    def receive(self, kind: str | None = None, name: str | None = None) -> Frame:
        """The next frame, of that kind and name where given; heartbeats are passed over unless asked for."""
        while True:
            while (frame := self.reader.take()) is not None:
                beat = frame.fields.get("name") == protocol.HEARTBEAT and name != protocol.HEARTBEAT
                if not beat and kind in (None, frame.kind) and name in (None, frame.fields.get("name")):
                    return frame
            self.reader.feed(os.read(self.read_fd, 65536))

    def end_input(self) -> None:
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        self.end_input()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        for fd in (self.read_fd, *self.server_fds):
            os.close(fd)


Start = Callable[..., Host]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(server, "HEARTBEAT_S", 0.05)
    hosts: list[Host] = []

    def begin(handlers: dict[str, Handler] | None = None, **table: Any) -> Host:
        hosts.append(Host(handlers or {"echo": echo}, **table))
        return hosts[-1]

    yield begin
    for host in hosts:
        host.close()


def echo(request: Request) -> Steps:
    yield progress(1)
    return Reply({"params": request.params}, request.arrays)


def endless(request: Request) -> Steps:
    while True:
        time.sleep(0.005)
        yield Update("tick", {})


def test_hello_comes_first_and_before_what_is_slow(start: Start) -> None:
    gate = threading.Event()

    def warm_up() -> dict[str, Any]:
        gate.wait(PATIENCE_S)
        return {"device": "cuda:0"}

    host = start(hello=lambda: {"backend_version": "1", "device": "cpu"}, warm_up=warm_up)
    hello = host.receive()
    assert (hello.kind, hello.id) == ("event", "")
    assert hello.fields == {
        "name": "hello",
        "protocol": protocol.PROTOCOL_VERSION,
        "pid": os.getpid(),
        "backend_version": "1",
        "device": "cpu",
    }
    # A job that waits for torch to load can be cancelled meanwhile.
    host.ask("a", "echo")
    host.send(Frame(protocol.CANCEL, "a"))
    cancelled = host.receive()
    assert (cancelled.kind, cancelled.id, cancelled.fields["code"]) == ("error", "a", "cancelled")
    gate.set()
    assert host.receive().fields == {"name": "device", "device": "cuda:0"}


def test_events_and_result_carry_fields_and_arrays(start: Start) -> None:
    host = start()
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    host.send(protocol.request("a", "echo", {"prompt": "🪑\n"}, {"image": image}))
    assert host.receive(name="started").id == "a"
    assert host.receive().fields == {"name": "progress", "phase": "guide", "step": 1}
    result = host.receive()
    assert (result.kind, result.id, result.fields) == ("result", "a", {"params": {"prompt": "🪑\n"}})
    np.testing.assert_array_equal(result.arrays["image"], image)


def test_jobs_run_in_the_order_of_their_arrival(start: Start) -> None:
    host = start()
    host.send(*(protocol.request(f"j{n}", "echo", {}) for n in range(5)))
    assert [host.receive("result").id for _ in range(5)] == ["j0", "j1", "j2", "j3", "j4"]


def test_cancel_is_honoured_between_yields_and_cleans_up(start: Start) -> None:
    closed = threading.Event()

    def careful(request: Request) -> Steps:
        try:
            yield from endless(request)
        finally:
            closed.set()
        return Reply({})

    host = start({"careful": careful, "echo": echo})
    host.ask("a", "careful")
    host.receive(name="tick")
    host.send(Frame(protocol.CANCEL, "a"))
    end = host.receive("error")
    assert (end.id, end.fields["code"]) == ("a", "cancelled")
    assert closed.is_set()
    host.ask("b", "echo")
    assert host.receive("result").id == "b"


def test_stop_reaches_the_running_handler_only(start: Start) -> None:
    def tuning(request: Request) -> Steps:
        while not request.stop():
            time.sleep(0.005)
            yield Update("tick", {})
        return Reply({"kept": request.id})

    host = start({"tuning": tuning})
    host.ask("a", "tuning")
    host.ask("b", "tuning")
    host.receive(name="tick")
    host.send(Frame(protocol.STOP, "b"), Frame(protocol.STOP, "unknown"), Frame(protocol.STOP, "a"))
    assert host.receive("result").fields == {"kept": "a"}
    # The second one was waiting when it was asked to stop: it had nothing to keep and runs on.
    assert host.receive(name="tick").id == "b"
    host.send(Frame(protocol.STOP, "b"))
    assert host.receive("result").fields == {"kept": "b"}


def test_a_waiting_job_is_cancelled_at_once_while_another_works(start: Start) -> None:
    host = start({"endless": endless})
    host.ask("a", "endless")
    host.ask("b", "endless")
    host.send(Frame(protocol.CANCEL, "b"), Frame(protocol.CANCEL, "unknown"))
    assert host.receive("error").id == "b"
    host.send(Frame(protocol.CANCEL, "a"))
    assert host.receive("error").id == "a"


def test_heartbeats_come_during_one_long_step(start: Start) -> None:
    gate = threading.Event()

    def long_step(request: Request) -> Steps:
        yield progress(0)
        gate.wait(PATIENCE_S)
        return Reply({})

    host = start({"long": long_step})
    host.ask("a", "long")
    host.receive(name="progress")
    assert [host.receive(name="heartbeat").fields["job"] for _ in range(3)] == ["a"] * 3
    gate.set()
    host.receive("result")


def test_frequent_progress_is_thinned_but_every_phase_is_told(start: Start) -> None:
    def eager(request: Request) -> Steps:
        for step in range(2000):
            yield progress(step)
        yield Update("progress", {"phase": "mesh", "step": 0})
        yield Update("preview", {}, {"v": np.zeros(3, np.float32)})
        return Reply({})

    host = start({"eager": eager})
    host.ask("a", "eager")
    host.receive(name="started")
    told = []
    while (frame := host.receive()).kind != "result":
        told.append((frame.fields["name"], frame.fields.get("phase"), frame.fields.get("step")))
    assert told[0] == ("progress", "guide", 0)
    assert told[-2:] == [("progress", "mesh", 0), ("preview", None, None)]
    assert len(told) < 1000


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (PromptError("Empty.", remedy="Type."), "prompt"),
        (MemoryError(), "memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (ModuleNotFoundError("No module named 'torch'"), "environment"),
        (RuntimeError("surprise\nsecond line"), "internal"),
        (KeyError(), "internal"),
    ],
)
def test_problems_cross_with_code_message_and_remedy(start: Start, problem: Exception, code: str) -> None:
    freed = []

    def bad(request: Request) -> Steps:
        yield progress(0)
        raise problem

    host = start({"bad": bad, "echo": echo}, free_memory=lambda: freed.append(1) or {})
    host.ask("a", "bad")
    fields = host.receive("error").fields
    assert fields == describe_problem(problem)
    assert fields["code"] == code and fields["message"] and "\n" not in fields["message"] and fields["remedy"]
    assert freed == ([1] if code == "memory" else [])
    host.ask("b", "echo")
    assert host.receive("result").id == "b"


def test_the_traceback_goes_to_the_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    def bad(request: Request) -> Steps:
        yield progress(0)
        raise RuntimeError("surprise")

    host = start({"bad": bad})
    host.ask("a", "bad")
    host.receive("error")
    assert "Traceback" in caplog.text and "surprise" in caplog.text


def test_a_result_that_cannot_cross_fails_its_job_only(start: Start) -> None:
    def bad(request: Request) -> Steps:
        yield progress(0)
        return Reply({}, {"v": np.zeros(3, np.complex64)})

    host = start({"bad": bad, "echo": echo})
    host.ask("a", "bad")
    assert "complex64" in host.receive("error").fields["message"]
    host.ask("b", "echo")
    host.receive("result")


def test_a_failing_warm_up_is_news_and_jobs_still_answer(start: Start) -> None:
    def broken() -> dict[str, Any]:
        raise ModuleNotFoundError("No module named 'torch'")

    host = start(warm_up=broken)
    host.receive(name="hello")
    assert host.receive().fields["code"] == "environment"
    host.ask("a", "echo")
    host.receive("result")


def test_unknown_and_doubled_requests_are_refused(start: Start) -> None:
    host = start({"endless": endless})
    host.ask("a", "fly")
    assert host.receive("error").fields["code"] == "unknown_request"
    host.send(Frame(protocol.REQUEST, "b", {"name": 3, "params": []}))
    assert host.receive("error").fields["code"] == "protocol"
    host.ask("c", "endless")
    host.ask("c", "endless")
    assert host.receive("error").fields["code"] == "busy"


def test_idle_models_are_unloaded_once_after_the_configured_time(start: Start) -> None:
    freed = []
    host = start(free_memory=lambda: freed.append(1) or {"freed": True})
    host.ask("configure", "configure", idle_unload_s=0.1)
    assert host.receive("result").id == "configure"
    host.ask("a", "echo")
    host.receive("result")
    assert host.receive(name="unloaded").fields["freed"] is True
    for _ in range(6):
        host.receive(name="heartbeat")
    assert freed == [1]


@pytest.mark.parametrize("params", [{"idle_unload_s": -1}, {"idle_unload_s": "5"}, {"colour": 1}])
def test_wrong_settings_are_refused(start: Start, params: dict[str, Any]) -> None:
    host = start()
    host.send(protocol.request("configure", "configure", params))
    assert host.receive("error").fields["code"] == "setting"


def test_a_damaged_input_is_told_and_ends_the_server(start: Start) -> None:
    host = start()
    os.write(host.write_fd, b"rubbish")
    frame = host.receive("error")
    assert (frame.id, frame.fields["code"]) == ("", "protocol")
    host.thread.join(PATIENCE_S)
    assert host.exit_code == 1


def test_the_end_of_input_ends_an_idle_server_and_a_stepping_job(start: Start) -> None:
    idle, working = start(), start({"endless": endless})
    idle.receive(name="hello")
    idle.end_input()
    idle.thread.join(PATIENCE_S)
    working.ask("a", "endless")
    working.receive(name="tick")
    working.end_input()
    working.thread.join(PATIENCE_S)
    assert (idle.exit_code, working.exit_code) == (0, 0)


def test_the_end_of_input_does_not_wait_for_a_long_step(start: Start) -> None:
    gate, entered = threading.Event(), threading.Event()

    def long_step(request: Request) -> Steps:
        yield progress(0)
        entered.set()
        gate.wait(PATIENCE_S)
        return Reply({})

    host = start({"long": long_step})
    host.ask("a", "long")
    assert entered.wait(PATIENCE_S)
    host.end_input()
    end = time.monotonic() + PATIENCE_S
    while not host.hard_exits and time.monotonic() < end:
        time.sleep(0.01)
    gate.set()
    assert host.hard_exits == [0]


SERVE = f"""
import ctypes, os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from backend.cli_serve import claim_standard_streams
descriptors = claim_standard_streams()
print("rubbish from Python", flush=True)
os.system("echo rubbish from a child; cat")
from backend.handlers_request import HandlerTable, Reply, Update
from backend.server import serve

def hold(request):
    yield Update("holding", {{}})
    # Keeps the interpreter's lock, as a C library may: no thread of the server can run.
    ctypes.PyDLL(None).sleep(60)
    return Reply({{}})

def sleep(request):
    yield Update("holding", {{}})
    time.sleep(60)
    return Reply({{}})

def quick(request):
    yield Update("holding", {{}})
    return Reply({{"torch": "torch" in sys.modules}})

sys.exit(serve(HandlerTable({{"hold": hold, "sleep": sleep, "quick": quick}}), *descriptors))
"""

PARENT = f"""
import pathlib, sys, time
sys.path.insert(0, {str(ROOT)!r})
from iss_blender.client import BackendClient
from iss_blender.jobs import JobPreview
client = BackendClient([sys.executable, sys.argv[1]], log_path=pathlib.Path("backend.log"))
if sys.argv[2] == "idle":
    client.start()
    while not client.hello:
        client.poll()
else:
    client.submit(sys.argv[2], {{}})
    while not any(isinstance(event, JobPreview) and event.name == "holding" for event in client.poll()):
        pass
print(client.pid, flush=True)
time.sleep(60)
"""


def write_serve_script(folder: Path) -> Path:
    path = folder / "serve.py"
    path.write_text(SERVE)
    return path


def wait_gone(pid: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, f"process {pid} was left behind"
        time.sleep(0.02)


def test_prints_of_libraries_go_to_the_log_and_never_into_frames(tmp_path: Path) -> None:
    script = write_serve_script(tmp_path)
    asked = encode_frame(protocol.request("a", "quick", {}))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, str(script)], **streams) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        child.stdin.write(asked)
        child.stdin.flush()
        reader, names = FrameReader(), []
        while "result" not in names:
            reader.feed(os.read(child.stdout.fileno(), 65536))
            while (frame := reader.take()) is not None:
                names.append(frame.fields.get("name", frame.kind))
                if frame.kind == "result":
                    assert frame.fields == {"torch": False}
        child.stdin.close()
        assert child.wait(PATIENCE_S) == 0
        errors = child.stderr.read()
    assert names[0] == "hello"
    assert b"rubbish from Python" in errors and b"rubbish from a child" in errors


@pytest.mark.parametrize("doing", ["idle", "sleep", "hold"])
def test_no_orphan_is_left_when_the_parent_is_killed(tmp_path: Path, doing: str) -> None:
    if doing == "hold" and sys.platform != "linux":
        pytest.skip("only Linux can end a process whose interpreter is held, when its parent dies")
    script = write_serve_script(tmp_path)
    command = [sys.executable, "-c", PARENT, str(script), doing]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.Process(pid).cmdline()[-1] == str(script)
        os.kill(parent.pid, signal.SIGKILL)
    wait_gone(pid)
