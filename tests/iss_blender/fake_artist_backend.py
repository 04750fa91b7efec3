"""A backend that answers every request of the add-on at once, without torch, with an octahedron.

Words in the prompt steer it: "fail" ends in an error, "die" in its death, "slow" takes until it is cancelled
or stopped.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from iss_blender import protocol
from iss_blender.model_list import MODEL_JOBS
from iss_blender.protocol import Array, Fields, Frame, FrameReader
from tests.iss_blender.fake_models import FakeModels

CODE_SIZE = 4
YELLOW, GREEN = (1.0, 1.0, 0.0), (0.0, 0.8, 0.0)


def octahedron(code: Array) -> dict[str, Array]:
    """Twice as high as wide, red; the code's first number makes it wider."""
    wide = 0.25 + 0.01 * float(code[0])
    points = [(wide, 0, 0), (-wide, 0, 0), (0, 0.5, 0), (0, -0.5, 0), (0, 0, wide), (0, 0, -wide)]
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    return {
        "vertices": np.array(points, np.float32),
        "faces": np.array(faces, np.int32),
        "colors": np.tile(np.array([0.8, 0.1, 0.1], np.float32), (6, 1)),
    }


def painted(mesh: dict[str, Array], color: tuple[float, float, float]) -> dict[str, Array]:
    """The vertices and faces in one colour."""
    count = len(mesh["vertices"])
    colors = np.tile(np.array(color, np.float32), (count, 1))
    return {"vertices": mesh["vertices"], "faces": mesh["faces"], "colors": colors}


def iterates(count: int) -> Array:
    """Colours of three iterations: red, yellow, green."""
    rgb = np.array([(255, 0, 0), (255, 255, 0), (0, 204, 0)], np.uint8)
    return np.ascontiguousarray(np.broadcast_to(rgb[:, None], (3, count, 3)))


def striped(points: Array) -> Array:
    """Stripes [K, 3] across x, half a unit from one dark one to the next: nearly black, nearly white."""
    light = np.floor(points[:, 0] * 4) % 2
    return np.repeat(0.05 + 0.9 * light.astype(np.float32)[:, None], 3, axis=1)


def own_look(frame: Frame) -> tuple[Fields, dict[str, Array]]:
    """An own mesh in green, texels too; in the style "striped" with stripes."""
    count, samples = len(frame.arrays["vertices"]), frame.arrays.get("samples", np.zeros((0, 3)))
    fields = {"style": frame.fields["params"]["style"], "iterate_steps": [0, 1, 2], "scores": [0.1, 0.2, 0.3]}
    sampled = np.tile(np.array(GREEN, np.float32), (len(samples), 1))
    colors = painted(frame.arrays, GREEN)["colors"]
    if fields["style"]["style"] == "striped":
        sampled, colors = striped(samples), striped(frame.arrays["vertices"])
    return fields, {"colors": colors, "sample_colors": sampled, "iterate_colors": iterates(count)}


class Backend:
    """Reads frames and answers them one after the other."""

    def __init__(self) -> None:
        self.reader = FrameReader()
        self.models = FakeModels(self.send, self.receive)

    def send(self, frame: Frame) -> None:
        view = memoryview(protocol.encode_frame(frame))
        while view:
            view = view[os.write(1, view) :]

    def receive(self) -> Frame:
        while (frame := self.reader.take()) is None:
            data = os.read(0, 65536)
            if not data:
                os._exit(0)
            self.reader.feed(data)
        return frame

    def serve(self) -> None:
        hello = {"protocol": protocol.PROTOCOL_VERSION, "backend_version": "fake", "device": "cpu"}
        self.send(protocol.event("", protocol.HELLO, {**hello, **self.models.lists()}))
        self.send(protocol.event("", "device", {"device": "Fake device", "devices": ["auto", "cpu", "cuda"]}))
        while True:
            frame = self.receive()
            if frame.kind == protocol.REQUEST:
                self.answer(frame)

    def answer(self, frame: Frame) -> None:
        name, params = frame.fields["name"], frame.fields["params"]
        if name in (protocol.CONFIGURE, "free_memory"):
            self.send(Frame(protocol.RESULT, frame.id))
        elif name in MODEL_JOBS:
            self.models.answer(frame)
        elif name == "doctor":
            check = {"name": "device", "passed": True, "detail": "Fake device", "remedy": ""}
            self.send(protocol.event(frame.id, "check", {"check": check}))
            self.send(Frame(protocol.RESULT, frame.id, {"checks": [check], "report": "ok device"}))
        else:
            self.make(frame, name, params)

    def make(self, frame: Frame, name: str, params: Fields) -> None:
        recipe: dict[str, Any] = dict(params.get("recipe", {}))
        words = f"{recipe.get('prompt', '')} {params.get('style', {}).get('style', '')}"
        self.send(protocol.event(frame.id, protocol.STARTED, {}))
        self.send(protocol.event(frame.id, protocol.PROGRESS, {"phase": "guide", "step": 1, "total": 2}))
        code = frame.arrays.get("code", np.full(CODE_SIZE, float(recipe.get("seed", 0) % 10), np.float32))
        if "die" in words:
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(3)
        if params.get("preview_every") or "slow" in words:
            shown = octahedron(code) if name != "stylize_mesh" else painted(frame.arrays, YELLOW)
            self.send(protocol.event(frame.id, protocol.PREVIEW, {"step": 0}, shown))
        if "slow" in words:
            while (kind := self.receive().kind) not in (protocol.CANCEL, protocol.STOP):
                time.sleep(0.01)
            if kind == protocol.CANCEL:
                self.send(protocol.error(frame.id, protocol.CODE_CANCELLED, "The job was cancelled."))
                return
        if "fail" in words:
            self.send(protocol.error(frame.id, "prompt", "The words are bad.", "Say it differently."))
            return
        if name == "stylize_mesh":
            self.send(Frame(protocol.RESULT, frame.id, *own_look(frame)))
            return
        recipe.setdefault("settings", {"mesh": {"resolution": 64}})
        if name == "stylize":
            recipe["styles"] = [*recipe.get("styles", ()), params["style"]]
        fields: Fields = {"recipe": recipe, "backend_version": "fake"}
        arrays: dict[str, Array] = {}
        if name == "blend":
            weight = float(params["weight"])
            code = ((1 - weight) * frame.arrays["code_a"] + weight * frame.arrays["code_b"]).astype(
                np.float32
            )
            fields = {"recipe": recipe, "weight": weight}
        elif name == "stylize":
            fields |= {"scores": [0.2, 0.5, 0.6], "best_step": 2, "warnings": []}
            arrays = {"codes": code[None]}
        elif name != "remesh":
            steps = int(params.get("changes", {}).get("stage2", {}).get("steps", 2))
            codes = np.stack([code + 0.5 * i for i in range(steps + 1)])
            best = steps - 1 if steps else 0
            scores = [0.2 + 0.01 * i for i in range(steps + 1)]
            fields |= {"scores": scores, "best_step": best, "warnings": []}
            code, arrays = codes[best], {"codes": codes}
        mesh = octahedron(code)
        if recipe.get("styles"):
            mesh = painted(mesh, GREEN)
            if name != "remesh":
                told = ">".join(style["style"] for style in recipe["styles"])
                arrays["decoder"] = np.frombuffer(told.encode(), np.uint8)
                arrays["iterate_colors"] = iterates(6)
                fields["iterate_steps"] = [0, 1, 2]
        self.send(Frame(protocol.RESULT, frame.id, fields, {**mesh, **arrays, "code": code}))


if __name__ == "__main__":
    Backend().serve()
