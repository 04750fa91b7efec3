"""How long a fresh process takes: to its first judged shape; `serve` to its hello and to a loaded bundle."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from backend.errors import FaultError
from iss_blender import protocol

SERVE = (sys.executable, "-m", "backend", "serve")
_READ_BYTES = 1 << 16


def measure_cold_start(arguments: list[str]) -> float:
    """Seconds from nothing to the first judged shape of a case (size, bundle, device); FaultError where it
    fails."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "backend.bench_case", *arguments], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise FaultError(f"The cold start failed: {done.stderr.strip()[-300:]}")
    return seconds


def measure_serve(bundle: str, command: Sequence[str] = SERVE) -> dict[str, float]:
    """Seconds from the start of a server: `hello_s` to its hello, `warm_s` until a job of the bundle, sent as
    soon as hello is there, proposes shapes: all is loaded then. FaultError where it fails."""
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        assert server.stdin is not None and server.stdout is not None
        try:
            hello_s = 0.0
            for frame in _frames(server.stdout.fileno()):
                name = frame.fields.get("name")
                if frame.kind == protocol.ERROR:
                    raise FaultError(f"The server answered: {frame.fields.get('message')}")
                if name == protocol.HELLO:
                    hello_s = time.perf_counter() - start
                    job = {"recipe": {"prompt": "a chair", "bundle": bundle}}
                    server.stdin.write(protocol.encode_frame(protocol.request("start", "generate", job)))
                    server.stdin.flush()
                elif name == protocol.PROGRESS and frame.fields.get("phase") == "propose":
                    return {"hello_s": hello_s, "warm_s": time.perf_counter() - start}
            raise FaultError("The server ended before its job began.")
        finally:
            server.kill()


def _frames(descriptor: int) -> Iterator[protocol.Frame]:
    """Frames as they come, until the other side closes."""
    reader = protocol.FrameReader()
    while data := os.read(descriptor, _READ_BYTES):
        reader.feed(data)
        while (frame := reader.take()) is not None:
            yield frame
