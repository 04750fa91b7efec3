"""A scripted backend: a list of steps from a JSON file, played on the standard streams, without torch.

Each step is a list: a verb and its arguments. Used as `python fake_backend.py script.json`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from iss_blender import protocol
from iss_blender.protocol import Frame, FrameReader

IN, OUT = 0, 1


class Player:
    """Plays steps; remembers the last request so that answers carry its id."""

    def __init__(self) -> None:
        self.reader = FrameReader()
        self.request = Frame(protocol.REQUEST)
        self.verbs: dict[str, Callable[..., None]] = {
            "hello": self.hello,
            "expect": self.expect,
            "event": self.event,
            "result": self.result,
            "error": self.error,
            "echo": self.echo,
            "flood": self.flood,
            "partial": self.partial,
            "sleep": time.sleep,
            "beat": self.beat,
            "print": lambda text: self.write(text.encode()),
            "log": lambda text: print(text, file=sys.stderr, flush=True),
            "log_bytes": lambda count: os.write(2, b"\xff\x00" * count) and None,
            "child": lambda seconds: (
                subprocess.Popen([sys.executable, "-c", f"import time;time.sleep({seconds})"]) and None
            ),
            "close_input": lambda: os.close(IN),
            "exit": os._exit,
        }

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(OUT, view) :]

    def send(self, frame: Frame) -> None:
        self.write(protocol.encode_frame(frame))

    def hello(self, version: Any = protocol.PROTOCOL_VERSION) -> None:
        fields = {"protocol": version, "backend_version": "fake", "device": "cpu", "bundles": []}
        self.send(protocol.event("", protocol.HELLO, fields))

    def expect(self, kind: str = protocol.REQUEST) -> None:
        """Wait for a frame of that kind; the end of input ends the process."""
        while True:
            while (frame := self.reader.take()) is not None:
                if frame.kind == protocol.REQUEST:
                    self.request = frame
                if frame.kind == kind:
                    return
            data = os.read(IN, 65536)
            if not data:
                os._exit(0)
            self.reader.feed(data)

    def event(self, name: str, fields: dict[str, Any]) -> None:
        self.send(protocol.event(self.request.id, name, fields))

    def beat(self, count: int, pause_s: float) -> None:
        for _ in range(count):
            self.send(protocol.event("", protocol.HEARTBEAT, {}))
            time.sleep(pause_s)

    def result(self, fields: dict[str, Any], floats: int = 3) -> None:
        arrays = {"vertices": np.arange(floats, dtype=np.float32)}
        self.send(Frame(protocol.RESULT, self.request.id, fields, arrays))

    def error(self, code: str, message: str, remedy: str) -> None:
        self.send(protocol.error(self.request.id, code, message, remedy))

    def echo(self) -> None:
        self.send(Frame(protocol.RESULT, self.request.id, dict(self.request.fields), self.request.arrays))

    def flood(self, count: int) -> None:
        for step in range(count):
            self.event(protocol.PROGRESS, {"step": step})

    def partial(self, keep: int) -> None:
        data = protocol.encode_frame(Frame(protocol.RESULT, self.request.id, {}, {"v": np.zeros(1000)}))
        self.write(data[:keep])


def main() -> None:
    player = Player()
    for verb, *arguments in json.loads(Path(sys.argv[1]).read_text()):
        player.verbs[verb](*arguments)
    player.expect("end of input")


if __name__ == "__main__":
    main()
