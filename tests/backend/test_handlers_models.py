"""Model requests over the handlers: lists, consent, downloads from a local server, import, removal, align."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from backend import known_clips, model_store
from backend.bundles import load_bundle
from backend.clip_encoder import build_open_clip
from backend.errors import CheckpointError, IssError, SettingError
from backend.handlers import handler_table
from backend.handlers_request import HandlerTable
from backend.known_clips import KNOWN_CLIPS, KnownClip
from backend.model_store import KNOWN_MODELS, KnownModel
from tests.backend.test_cli_align import TINY_VIT
from tests.backend.test_handlers import play
from tests.backend.tiny_bundle import write_tiny_bundle
from tests.backend.tiny_checkpoints import write_checkpoint

ARCHITECTURE = "ViT-pipe-8"
LICENCE = "a licence of its own"


class _Server(ThreadingHTTPServer):
    files: dict[str, bytes]
    asked: int = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.asked += 1
        body = self.server.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Server]:
    """Serves a tiny IM-NET checkpoint and the weights of a tiny CLIP that open_clip knows by name."""
    folder = tmp_path_factory.mktemp("served")
    (folder / f"{ARCHITECTURE}.json").write_text(json.dumps(TINY_VIT))
    open_clip.add_model_config(folder / f"{ARCHITECTURE}.json")
    torch.manual_seed(7)
    weights = build_open_clip(ARCHITECTURE, None).model.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "clip.safetensors")
    checkpoint, _ = write_checkpoint(folder / "files", "imnet")
    made = _Server(("127.0.0.1", 0), _Handler)
    made.files = {
        "/clip.safetensors": (folder / "clip.safetensors").read_bytes(),
        "/imnet.pt": checkpoint.read_bytes(),
    }
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def table(tmp_path: Path, server: _Server, monkeypatch: pytest.MonkeyPatch) -> HandlerTable:
    """A store with the bundle `tiny`; the known lists lead to the local server."""
    write_tiny_bundle(tmp_path / "bundles")
    monkeypatch.setattr(model_store, "STORE", tmp_path)
    server.asked = 0
    host = f"http://127.0.0.1:{server.server_address[1]}"
    model = KnownModel("served", "A served model", "imnet", "its page", LICENCE, f"{host}/imnet.pt", 1)
    monkeypatch.setitem(KNOWN_MODELS, "served", model)
    clip = KnownClip("tiny-clip", "A tiny CLIP", ARCHITECTURE, "none", "its page", LICENCE, 1)
    monkeypatch.setitem(KNOWN_CLIPS, "tiny-clip", clip)
    source = KnownModel("clip-tiny", clip.title, "clip", "", "", f"{host}/clip.safetensors")
    monkeypatch.setattr(known_clips, "clip_source", lambda clip, config: source)
    return handler_table(bundle_parents=[tmp_path / "bundles"], image_folder=tmp_path / "images")


def test_the_list_shows_source_licence_and_size(table: HandlerTable) -> None:
    hello, (_, reply) = table.hello(), play(table, "models")
    for fields in (hello, reply.fields):
        known = {card["name"]: card for card in fields["known"]}
        assert known["dvr-combined"]["licence"] == "MIT" and known["dvr-combined"]["megabytes"] == 58
        assert known["dvr-combined"]["direct"] and not known["imnet"]["direct"]
        assert all(card["page"] for card in known.values())
        assert fields["clips"][0]["name"] == "vit-b-32" and fields["clips"][0]["megabytes"] == 605
    (card,) = hello["bundles"]
    assert card["has_mapper"] and not card["shipped"]
    _, reply = play(table, "models", verify=True)
    assert reply.fields["bundles"][0]["verified"] and reply.fields["told"] == "1 of 1 models are sound."


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"online": True}, "licence was not accepted: a licence of its own"),
        ({"online": True, "licence": "MIT"}, "licence was not accepted"),
        ({"licence": LICENCE}, "going online is not allowed"),
        ({"licence": LICENCE, "file": "/nowhere/x.pt"}, "There is no file /nowhere/x.pt"),
        ({"licence": LICENCE, "name": "nothing"}, "no known checkpoint 'nothing'"),
    ],
)
def test_nothing_is_installed_without_consent(
    table: HandlerTable, server: _Server, tmp_path: Path, params: dict[str, Any], told: str
) -> None:
    with pytest.raises(IssError, match=told) as caught:
        play(table, "install_model", **{"name": "served", **params})
    assert caught.value.remedy and server.asked == 0
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["tiny"]


def test_a_download_becomes_a_bundle_and_goes_again(table: HandlerTable, server: _Server) -> None:
    updates, reply = play(table, "install_model", name="served", licence=LICENCE, online=True)
    phases = [update.fields["phase"] for update in updates]
    assert list(dict.fromkeys(phases)) == ["download", "convert"] and server.asked == 1
    assert "A served model is installed" in reply.fields["told"]
    cards = {card["name"]: card for card in reply.fields["bundles"]}
    assert cards["served"]["licence"] == LICENCE and not cards["served"]["has_mapper"]
    with pytest.raises(SettingError, match="already"):
        play(table, "install_model", name="served", licence=LICENCE, online=True)
    _, reply = play(table, "remove_model", name="served")
    assert [card["name"] for card in reply.fields["bundles"]] == ["tiny"]
    assert "served is removed" in reply.fields["told"]
    # The finished download is still there: no network is needed any more.
    play(table, "install_model", name="served", licence=LICENCE, online=False)
    assert server.asked == 1


def test_a_cancelled_install_leaves_no_bundle(table: HandlerTable, tmp_path: Path) -> None:
    from backend.handlers_request import Request

    params = {"name": "served", "licence": LICENCE, "online": True}
    steps = table.handlers["install_model"](Request("j", "install_model", params))
    assert next(steps).fields["phase"] == "download"
    steps.close()
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["tiny"]
    assert not (tmp_path / "downloads" / "served.pt").exists()


def test_a_local_file_is_imported_under_a_name(table: HandlerTable, tmp_path: Path) -> None:
    file, _ = write_checkpoint(tmp_path / "mine", "imnet")
    _, reply = play(table, "import_model", file=str(file), kind="imnet", name="mine", licence="MIT")
    assert reply.fields["name"] == "mine" and (tmp_path / "bundles" / "mine" / "bundle.json").is_file()
    with pytest.raises(CheckpointError, match="not the weights of SS3D"):
        play(table, "import_model", file=str(file), kind="ss3d", name="other")
    assert not (tmp_path / "bundles" / "other").exists()


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\\b", ".hidden", "a" * 61, "tiny"])
def test_names_that_are_paths_or_taken_are_refused(table: HandlerTable, name: str) -> None:
    for request in ("import_model", "align"):
        with pytest.raises(SettingError):
            play(table, request, name=name, file="x", kind="dvr")
    with pytest.raises(SettingError, match="name is 3"):
        play(table, "import_model", name=3)


def test_only_known_bundles_are_removed(table: HandlerTable, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    for name in ("nothing", str(tmp_path / "letters"), str(tmp_path / "bundles" / "tiny")):
        with pytest.raises(IssError, match="There is no model"):
            play(table, "remove_model", name=name)
    assert (tmp_path / "bundles" / "tiny" / "bundle.json").is_file()


def test_full_clip_is_downloaded_aligned_and_prompted(
    table: HandlerTable, server: _Server, tmp_path: Path
) -> None:
    """The whole way of the button: consent, weights, shapes, encoding, mapper, bundle, a prompt."""
    wish = {"svr": "tiny", "name": "tiny-full", "clip": {"known": "tiny-clip"}, "shapes": 40, "steps": 40}
    with pytest.raises(SettingError, match="licence was not accepted"):
        play(table, "align", **wish, online=True)
    with pytest.raises(CheckpointError, match="going online is not allowed"):
        play(table, "align", **wish, licence=LICENCE)
    assert server.asked == 0
    updates, reply = play(table, "align", **wish, licence=LICENCE, online=True, device="cpu")
    phases = [update.fields["phase"] for update in updates]
    assert list(dict.fromkeys(phases)) == ["download", "load", "shapes", "encode", "align", "write"]
    assert all(0 <= u.fields["step"] <= max(1, u.fields["total"]) for u in updates)
    assert reply.fields["choose"] == "tiny-full" and "A tiny CLIP" not in reply.fields["quality"]
    assert "tiny-full" in [card["name"] for card in reply.fields["bundles"]]
    bundle = load_bundle(tmp_path / "bundles" / "tiny-full")
    assert bundle.clip.feature_size == 24 and bundle.record.clip["architecture"] == ARCHITECTURE
    recipe = {"prompt": "a red chair", "bundle": "tiny-full", "seed": 1, "device": "cpu"}
    _, made = play(table, "generate", recipe=recipe, preset="draft")
    assert len(made.arrays["faces"]) > 100
    # A second bundle finds shapes, features and weights ready, and needs no network.
    updates, _ = play(table, "align", **{**wish, "name": "again"}, licence=LICENCE, device="cpu")
    assert "download" not in [update.fields["phase"] for update in updates] and server.asked == 1


def test_a_clip_must_be_named_in_one_way(table: HandlerTable, tmp_path: Path) -> None:
    for clip in (None, {}, {"known": "tiny-clip", "bundle": "tiny"}, "tiny"):
        with pytest.raises(SettingError, match="clip is"):
            play(table, "align", svr="tiny", name="x", clip=clip)
    with pytest.raises(CheckpointError, match="no file"):
        play(table, "align", svr="tiny", name="x", clip={"file": str(tmp_path / "none.pt")})
    with pytest.raises(SettingError, match="shapes is 3"):
        play(table, "align", svr="tiny", name="x", clip={"bundle": "tiny"}, shapes=3)
    with pytest.raises(IssError, match="nowhere"):
        play(table, "align", svr="nowhere", name="x", clip={"bundle": "tiny"})
