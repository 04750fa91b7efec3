"""The fake backend's share of models: lists, and jobs that steps and words in their names steer.

"slow" in the new name waits for a cancel, "fail" ends in an error.
"""

from collections.abc import Callable
from typing import Any

from iss_blender import protocol
from iss_blender.protocol import Fields, Frame

KNOWN: list[Fields] = [
    {"name": "dvr-combined", "title": "DVR", "kind": "dvr", "page": "https://example.org/dvr",
     "licence": "MIT", "megabytes": 58, "direct": True},
    {"name": "imnet", "title": "IM-NET", "kind": "imnet", "page": "https://example.org/imnet",
     "licence": "MIT", "megabytes": 0, "direct": False},
]  # fmt: skip
CLIPS: list[Fields] = [
    {"name": "vit-b-32", "title": "CLIP ViT-B/32", "architecture": "ViT-B-32-quickgelu",
     "page": "https://example.org/clip", "licence": "MIT or so", "megabytes": 605},
]  # fmt: skip
STARTER: Fields = {
    "name": "starter",
    "shipped": True,
    "bytes": 7_000_000,
    "licence": "CC0",
    "has_mapper": True,
}


class FakeModels:
    """Answers model requests and remembers what is installed."""

    def __init__(self, send: Callable[[Frame], None], receive: Callable[[], Frame]) -> None:
        self._send, self._receive = send, receive
        self.bundles = [STARTER]

    def lists(self) -> Fields:
        return {"bundles": self.bundles, "known": KNOWN, "clips": CLIPS}

    def answer(self, frame: Frame) -> None:
        name, params = frame.fields["name"], frame.fields["params"]
        self._send(protocol.event(frame.id, protocol.STARTED, {}))
        wanted = str(params.get("name", ""))
        told: dict[str, Any] = {}
        if name in ("install_model", "align"):
            step = {"phase": "download", "step": 100, "total": 605}
            self._send(protocol.event(frame.id, protocol.PROGRESS, step))
        if "slow" in wanted:
            while self._receive().kind != protocol.CANCEL:
                pass
            self._send(protocol.error(frame.id, protocol.CODE_CANCELLED, "The job was cancelled."))
            return
        if "fail" in wanted:
            self._send(protocol.error(frame.id, "checkpoint", "The file is cut off.", "Download it again."))
            return
        if name == "remove_model":
            self.bundles = [card for card in self.bundles if card["name"] != wanted]
        elif name != "models":
            card = {"name": wanted, "bytes": 1_000_000, "licence": params.get("licence", "")}
            self.bundles = [*self.bundles, {**card, "has_mapper": name == "align"}]
        if name == "align":
            told["choose"] = wanted
        if params.get("verify"):
            self.bundles = [{**card, "verified": True} for card in self.bundles]
        # What was asked for comes back as a sentence, so that a test can read it in the panel.
        asked = {key: value for key, value in params.items() if key != "scene"}
        self._send(Frame(protocol.RESULT, frame.id, {**self.lists(), **told, "told": f"{name} {asked}"}))
