"""Checkpoint files: layouts that are read, and a sentence for each that is unsafe, damaged or none at all."""

import gzip
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import checkpoint_file
from backend.checkpoint_file import read_state_dict
from backend.errors import CheckpointError

WEIGHTS = {
    "a.weight": torch.arange(6.0).reshape(2, 3).half(),
    "a.bias": torch.tensor([1.0, -2.0], dtype=torch.bfloat16),
    "steps": torch.tensor(7),
}


class Code:
    """Would run a command when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 1",)


def _save(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"model": WEIGHTS, "it": np.int64(3), "loss_val_best": np.float64(0.5), "note": "text"},
        {"state_dict": {f"module.{key}": value for key, value in WEIGHTS.items()}},
        {"G": {"other": torch.zeros(1)}, "G_ema": WEIGHTS},
    ],
)
@pytest.mark.parametrize("archive", [True, False])
def test_state_dicts_are_found_and_come_in_single_precision(
    content: dict, archive: bool, tmp_path: Path
) -> None:
    path = _save(tmp_path / "file.pt", content, _use_new_zipfile_serialization=archive)
    weights = read_state_dict(path)
    assert weights.keys() == WEIGHTS.keys()
    assert weights["a.weight"].dtype == weights["a.bias"].dtype == torch.float32
    assert weights["a.weight"].tolist() == [[0, 1, 2], [3, 4, 5]] and weights["a.bias"].tolist() == [1, -2]
    assert weights["steps"].dtype == torch.int64
    packed = tmp_path / "file.pt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_state_dict(packed).keys() == WEIGHTS.keys()


def test_safetensors_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(WEIGHTS, tmp_path / "file.safetensors")
    assert read_state_dict(tmp_path / "file.safetensors")["a.bias"].tolist() == [1, -2]
    cut = (tmp_path / "file.safetensors").read_bytes()[:-3]
    (tmp_path / "file.safetensors").write_bytes(cut)
    with pytest.raises(CheckpointError, match="cut off or damaged"):
        read_state_dict(tmp_path / "file.safetensors")


def _refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    assert caught.value.remedy and caught.value.exit_code == 2
    return caught.value.message


@pytest.mark.parametrize("archive", [True, False])
def test_code_is_refused_and_named(archive: bool, tmp_path: Path) -> None:
    path = _save(
        tmp_path / "evil.pt", {"model": WEIGHTS, "x": Code()}, _use_new_zipfile_serialization=archive
    )
    assert f"holds code ({os.system.__module__}.system)" in _refusal(path)
    path = _save(tmp_path / "module.pt", torch.nn.Linear(2, 2), _use_new_zipfile_serialization=archive)
    assert "holds code (torch.nn.modules.linear.Linear)" in _refusal(path)


def test_bare_pickles_with_code_are_refused_unopened(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Code(), protocol=2))
    assert "evil.pkl" in _refusal(tmp_path / "evil.pkl")


def test_programs_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        archive.writestr("program/data.pkl", b"")
        archive.writestr("program/code/__torch__.py", b"def forward(): pass")
    assert "TorchScript program" in _refusal(tmp_path / "program.pt")


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.98])
def test_truncated_files_are_refused(archive: bool, kept: float, tmp_path: Path) -> None:
    path = _save(tmp_path / "cut.pt", {"w": torch.rand(500)}, _use_new_zipfile_serialization=archive)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    message = _refusal(path)
    assert "cut off" in message if kept else "is empty" in message


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = _save(tmp_path / "flipped.pt", {"w": torch.ones(500)})
    data = bytearray(path.read_bytes())
    data[data.index(torch.ones(9).numpy().tobytes()) + 40] ^= 1
    path.write_bytes(data)
    assert "another checksum" in _refusal(path)


def test_a_truncated_or_damaged_gzip_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(_save(tmp_path / "file.pt", WEIGHTS).read_bytes())
    (tmp_path / "cut.gz").write_bytes(data[:-30])
    assert "cut off or damaged" in _refusal(tmp_path / "cut.gz")
    (tmp_path / "bad.gz").write_bytes(data[:40] + bytes(20) + data[60:])
    assert "cut off or damaged" in _refusal(tmp_path / "bad.gz")


def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"x")
        archive.writestr("bomb/data/0", bytes(20_000_000))
    assert "zip bomb" in _refusal(tmp_path / "bomb.pt")
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(20_000_000)))
    assert "zip bomb" in _refusal(tmp_path / "bomb.gz")
    expanded = torch.zeros(1).expand(10**6, 10**6)
    assert "4000000000000 bytes" in _refusal(_save(tmp_path / "expanded.pt", {"w": expanded}))


def test_the_size_limit_holds_for_honest_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(tmp_path / "big.pt", {"w": torch.rand(5000)})
    monkeypatch.setattr(checkpoint_file, "LARGEST_BYTES", 10_000)
    assert "zip bomb" in _refusal(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "optimizer": {}}, "holds no state dict; at its top are: epoch, optimizer"),
        ([torch.zeros(1)], "at its top are: list"),
        ({"model": {"w": torch.zeros(1), "size": 3}}, "no tensors: size"),
        ({"w": torch.tensor([1.0, float("nan")])}, "w holds numbers that are not finite"),
        ({"w": torch.zeros(2, dtype=torch.complex64)}, "complex64, not plain numbers"),
    ],
)
def test_contents_that_are_no_weights_are_told(content: Any, message: str, tmp_path: Path) -> None:
    assert message in _refusal(_save(tmp_path / "file.pt", content))


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.pt"
    page.write_bytes(b"\n<!DOCTYPE html><html>Too many downloads</html>")
    assert "is a web page" in _refusal(page)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("photo.jpg", b"x")
    assert "without one list of tensors" in _refusal(tmp_path / "photos.zip")
    (tmp_path / "noise.pt").write_bytes(bytes(range(1, 200)))
    assert "no checkpoint" in _refusal(tmp_path / "noise.pt") or "damaged" in _refusal(tmp_path / "noise.pt")
    assert "no file" in _refusal(tmp_path / "absent.pt")
