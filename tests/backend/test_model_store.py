"""The model store: resumable downloads from a local server, the known table, removal, the command line."""

import hashlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend import model_store
from backend.__main__ import main
from backend.checkpoint_import import KINDS
from backend.errors import BundleError, CheckpointError, SettingError
from backend.model_store import KNOWN_MODELS, KnownModel, check_free, download, known_model, remove_bundle
from tests.backend.tiny_bundle import write_tiny_bundle
from tests.backend.tiny_checkpoints import write_checkpoint

CONTENT = bytes(range(256)) * 4096
"""1 MiB: four blocks."""


class _Server(ThreadingHTTPServer):
    content = CONTENT
    version = '"one"'
    cut_after: int | None = None
    """Bytes after which the connection breaks, once."""
    asked: list[str | None]
    """The Range header of every request."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path != "/model.pt":
            self.send_error(404)
            return
        start = 0
        if wanted and self.headers.get("If-Range") == self.server.version:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.server.version)
        self.end_headers()
        cut, self.server.cut_after = self.server.cut_after, None
        self.wfile.write(body[:cut])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server(("127.0.0.1", 0), _Handler)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def _model(server: _Server, path: str = "/model.pt", sha256: str = "", name: str = "tiny") -> KnownModel:
    url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    return KnownModel(name, "A tiny model", "imnet", "its page", "MIT", url, 1, sha256)


def _finish(work: Generator[tuple[int, int], None, Path]) -> tuple[Path, list[tuple[int, int]]]:
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as finished:
            return finished.value, steps


def test_a_download_tells_its_progress_and_is_not_repeated(server: _Server, tmp_path: Path) -> None:
    model = _model(server, sha256=hashlib.sha256(CONTENT).hexdigest()[:8])
    path, steps = _finish(download(model, tmp_path))
    assert path.read_bytes() == CONTENT and path.name == "tiny.pt"
    assert steps[0] == (0, len(CONTENT)) and steps[-1] == (len(CONTENT), len(CONTENT)) and len(steps) == 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.pt"]
    assert _finish(download(model, tmp_path)) == (path, []) and server.asked == [None]


def test_a_broken_download_goes_on_where_it_stopped(server: _Server, tmp_path: Path) -> None:
    server.cut_after = 300_000
    with pytest.raises(CheckpointError, match=r"(stopped|ended) after") as caught:
        _finish(download(_model(server), tmp_path))
    assert "goes on where it stopped" in caught.value.remedy
    assert not (tmp_path / "tiny.pt").exists()
    kept = (tmp_path / "tiny.part").stat().st_size
    assert 0 < kept <= 300_000
    path, steps = _finish(download(_model(server), tmp_path))
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={kept}-"] and steps[0] == (kept, len(CONTENT))


def test_a_cancelled_download_keeps_its_part(server: _Server, tmp_path: Path) -> None:
    work = download(_model(server), tmp_path)
    next(work), next(work)
    work.close()
    kept = (tmp_path / "tiny.part").stat().st_size
    assert 0 < kept < len(CONTENT)
    assert _finish(download(_model(server), tmp_path))[0].read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={kept}-"


def test_a_file_that_has_changed_since_is_fetched_anew(server: _Server, tmp_path: Path) -> None:
    server.cut_after = 300_000
    with pytest.raises(CheckpointError):
        _finish(download(_model(server), tmp_path))
    server.content, server.version = CONTENT[::-1], '"two"'
    path, steps = _finish(download(_model(server), tmp_path))
    assert path.read_bytes() == CONTENT[::-1] and steps[0][0] == 0


def test_another_file_than_the_known_one_is_removed(server: _Server, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has the SHA-256 [0-9a-f]{64}, not abcd"):
        _finish(download(_model(server, sha256="abcd"), tmp_path))
    assert not list(tmp_path.iterdir())


def test_servers_that_fail_are_told(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="404"):
        _finish(download(_model(server, path="/gone.pt"), tmp_path))
    monkeypatch.setattr(model_store, "LARGEST_DOWNLOAD", 1000)
    with pytest.raises(CheckpointError, match="offers 1048576 bytes"):
        _finish(download(_model(server), tmp_path))
    with pytest.raises(CheckpointError, match="no address of the file itself") as caught:
        _finish(download(known_model("imnet"), tmp_path))
    assert "--file FILE" in caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_the_table_is_complete_and_needs_no_torch() -> None:
    for name, model in KNOWN_MODELS.items():
        assert model.name == name and model.kind in KINDS and model.licence and model.page.startswith("https")
        assert not model.url or model.url.startswith("https://")
        assert re.fullmatch(r"([0-9a-f]{8}){0,8}", model.sha256)
        # A name with a hash in it is torch's convention: the leading digits of the file's SHA-256.
        named = re.search(r"-([0-9a-f]{8})\.pt$", model.url)
        assert not named or model.sha256.startswith(named.group(1))
    with pytest.raises(SettingError, match="no known checkpoint 'nothing'"):
        known_model("nothing")
    code = "import sys; import backend.model_store; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("store"))


@pytest.fixture
def store(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: _Server
) -> Callable[[str], Path]:
    """A user's store with one bundle, `tiny`."""
    shutil.copytree(written, tmp_path / "bundles" / "tiny")
    monkeypatch.setattr("backend.bundle_places.bundle_folders", lambda extra=(): [tmp_path / "bundles"])
    monkeypatch.setattr(model_store, "STORE", tmp_path)
    monkeypatch.setitem(KNOWN_MODELS, "served", _model(server, name="served"))
    return lambda name: tmp_path / "bundles" / name


def test_removal_takes_only_what_is_the_bundle_s(
    store: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store("tiny")
    (folder / "notes.txt").write_text("mine")
    _, freed, left = remove_bundle(folder)
    assert freed > 10_000 and [path.name for path in left] == ["notes.txt"]
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    with pytest.raises(BundleError, match="no bundle"):
        remove_bundle(folder)
    other = write_tiny_bundle(folder.parent, name="shipped")
    monkeypatch.setattr(model_store, "SHIPPED_FOLDER", folder.parent)
    with pytest.raises(BundleError, match="ships with the program"):
        remove_bundle(other)
    assert (other / "bundle.json").is_file()


def test_folders_that_are_no_bundles_are_never_replaced(store: Callable[[str], Path], tmp_path: Path) -> None:
    check_free(store("new"))
    with pytest.raises(SettingError, match="is no bundle"):
        check_free(tmp_path, replace=True)
    with pytest.raises(SettingError, match="already"):
        check_free(store("tiny"))
    check_free(store("tiny"), replace=True)


def test_import_verify_and_remove_on_the_command_line(
    store: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, mapper = write_checkpoint(tmp_path / "files", "imnet")
    out = store("painted")
    wanted = ["models", "import", str(model), "--as", "imnet", "--out", str(out), "--licence", "MIT"]
    assert main([*wanted, "--mapper", str(mapper), "--clip-from", "tiny"]) == 0
    assert "no mapper yet" not in capsys.readouterr().out
    assert main(wanted) == 2 and "already" in capsys.readouterr().err
    assert main([*wanted, "--replace"]) == 0 and "run `align`" in capsys.readouterr().out
    assert main(["models", "verify", "painted"]) == 0
    assert "painted: sound, 1 files." in capsys.readouterr().out
    weights = out / "svr.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert main(["models", "verify"]) == 2
    told = capsys.readouterr().out
    assert "painted: DAMAGED" in told and "tiny: sound" in told
    assert main(["models", "remove", "painted"]) == 2 and "--yes" in capsys.readouterr().err
    assert main(["models", "remove", "painted", "--yes"]) == 0 and not out.exists()
    assert main(["models", "import", str(model), "--as", "ss3d", "--out", str(out)]) == 2
    assert "not the weights of SS3D" in capsys.readouterr().err and not out.exists()


def test_install_downloads_only_after_a_yes(
    store: Callable[[str], Path], server: _Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _ = write_checkpoint(tmp_path / "files", "imnet")
    server.content = model.read_bytes()
    assert main(["models", "install", "served"]) == 2
    shown = capsys.readouterr()
    assert "licence MIT" in shown.out and "Nobody can be asked" in shown.err and server.asked == []
    assert main(["models", "install", "served", "--yes"]) == 0
    assert "downloaded" in capsys.readouterr().err and len(server.asked) == 1
    assert main(["models", "install", "served", "--file", str(model), "--out", str(store("local"))]) == 0
    assert len(server.asked) == 1
    assert main(["models", "list", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "local: A tiny model" in shown and "licence MIT" in shown and "get3d-chair: GET3D chairs" in shown
