"""Trains a little of everything, for test_processes.py: run under torchrun, or alone.

python tests/backend/few_steps.py FOLDER
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from backend.clip_encoder import build_tiny_clip
from backend.datasets.base import DataSettings
from backend.datasets.layouts import open_dataset
from backend.mapper import RegressingMapper
from backend.training.align import Encoded, FlowLoss, RegressionLoss, new_flow
from backend.training.clip_on_data import PictureTextLoss
from backend.training.loop import LoopSettings, run_loop
from backend.training.processes import (
    end_processes,
    process_count,
    process_rank,
    start_processes,
    texts_from_all,
)
from backend.training.svr_loss import DecoderOnly, SvrLoss, SvrLossSettings
from backend.word_tokenizer import WordTokenizer
from tests.backend.tiny_bundle import TINY_CLIP, WORDS, tiny_svr

STEPS, BATCH = 20, 4
"""Steps, and the whole batch."""


def train_everything(folder: Path) -> None:
    """Each kind of loss for a few steps; the losses and weights go to a file per process."""
    torch.set_num_threads(1)
    start_processes()
    processes, rank = process_count(), process_rank()
    batch = BATCH // processes
    found: dict[str, tuple[dict[str, float], dict[str, Tensor]]] = {}
    for name, model, loss in _trainings(folder / "data", batch):
        settings = LoopSettings(
            steps=STEPS, batch=batch, learning_rate=1e-3, warmup=0, average=0.9, checkpoint_every=10
        )
        last = list(run_loop(name, model, loss, settings, folder / f"of-{processes}"))[-1]
        found[name] = (last.losses, {k: v.clone() for k, v in model.state_dict().items()})
    assert texts_from_all([str(rank)]) == [str(r) for r in range(processes)]
    torch.save(found, folder / f"found-{processes}-{rank}.pt")
    end_processes()


def _trainings(data_folder: Path, batch: int) -> Iterator[tuple[str, torch.nn.Module, Any]]:
    """Name, model and loss of: the regressor, the flow, the decoder, and a CLIP without batch statistics."""
    generator = torch.Generator().manual_seed(0)
    images = F.normalize(torch.randn(12, 2, 16, generator=generator), dim=-1)
    encoded = Encoded(images, images.flip(1), torch.randn(12, 4, generator=generator))
    torch.manual_seed(1)
    mapper = RegressingMapper([16, 8, 4])
    yield "regressor", mapper, RegressionLoss(mapper, encoded, batch, 0.3)
    flow = new_flow(encoded, seed=2, components=2, bank=8)
    yield "flow", flow, FlowLoss(flow, encoded, batch)
    data = open_dataset(DataSettings(folder=str(data_folder)))
    svr = tiny_svr()
    few = SvrLossSettings(rays=32, march_steps=8, secant_steps=2)
    yield "decoder", DecoderOnly(svr), SvrLoss(svr, data, batch, few, tuned="decoder")
    torch.manual_seed(3)
    vit = {**TINY_CLIP, "vision_cfg": {"image_size": 32, "patch_size": 16, "layers": 1, "width": 16,
                                       "head_width": 8}}  # fmt: skip
    clip = build_tiny_clip(vit, WordTokenizer(WORDS, context_length=16))
    yield "clip", clip, PictureTextLoss(clip, data, batch)


if __name__ == "__main__":
    train_everything(Path(sys.argv[1]))
