"""Two processes train as one does with the doubled batch: losses, weights and files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from backend.__main__ import main
from backend.training.processes import from_all, is_first, own_part, texts_from_all
from tests.backend.datasets.tiny_datasets import write_shapenet
from tests.backend.few_steps import STEPS, train_everything
from tests.conftest import ROOT

SCRIPT = str(ROOT / "tests" / "backend" / "few_steps.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def _run(*arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_do_what_one_does_with_the_doubled_batch(tmp_path: Path) -> None:
    write_shapenet(tmp_path / "data", count=4, views=2, size=32)
    train_everything(tmp_path)
    _run(*TORCHRUN, SCRIPT, str(tmp_path))
    alone = torch.load(tmp_path / "found-1-0.pt", weights_only=True)
    for rank in range(2):
        together = torch.load(tmp_path / f"found-2-{rank}.pt", weights_only=True)
        assert together.keys() == alone.keys() == {"regressor", "flow", "decoder", "clip"}
        for name, (losses, weights) in alone.items():
            shared_losses, shared_weights = together[name]
            for key, value in losses.items():
                assert shared_losses[key] == pytest.approx(value, rel=2e-4, abs=1e-5), (name, key)
            # As one vector: a weight without a gradient of its own follows the rounding alone.
            flat, shared = (
                torch.cat([w[key].flatten().double() for key in weights]) for w in (weights, shared_weights)
            )
            assert (shared - flat).norm() < 2e-4 * flat.norm(), name
    # One process wrote, in the same format, and a single process goes on from there.
    kept = torch.load(tmp_path / "of-2" / "regressor.pt", weights_only=True)
    single = torch.load(tmp_path / "of-1" / "regressor.pt", weights_only=True)
    assert kept["step"] == STEPS and kept.keys() == single.keys()
    assert kept["model"].keys() == single["model"].keys()
    assert len(list((tmp_path / "of-2" / "tensorboard" / "regressor").iterdir())) == 1


def test_alone_nothing_is_shared() -> None:
    drawn = torch.arange(6.0)
    assert own_part(drawn) is not None and torch.equal(own_part(drawn), drawn)
    assert from_all(drawn) is drawn and texts_from_all(["a"]) == ["a"] and is_first()


def test_the_starter_is_refused_under_torchrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "starter"]) == 2
    assert "without torchrun" in capsys.readouterr().err
