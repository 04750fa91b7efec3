"""The training loop that all trainings share: steps, learning rate, averages, checkpoints, TensorBoard.

A training is a function from a step number to a loss. The loop can be stopped at any time and goes on from
its last checkpoint; a finished one returns at once. Under torchrun every process runs it (`processes.py`):
gradients are averaged, and the first process alone writes.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from backend.config import Settings, bounded
from backend.errors import NumericalError, SettingError
from backend.training.processes import is_first, mean_of_all, process_count, wait_for_all

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopSettings(Settings):
    """Optimisation of one model (Adam with warm-up and cosine decay)."""

    steps: int = bounded(10_000, 1, 100_000_000)
    batch: int = bounded(32, 1, 65_536)
    """Shapes per step and process."""
    learning_rate: float = bounded(1e-3, 0.0, 1.0)
    weight_decay: float = bounded(0.0, 0.0, 1.0)
    warmup: int = bounded(200, 0, 1_000_000)
    final_rate: float = bounded(0.02, 0.0, 1.0)
    """Learning rate at the last step, as a share of the highest."""
    average: float = bounded(0.0, 0.0, 0.99999)
    """Decay of the moving average of the weights; 0 keeps none."""
    checkpoint_every: int = bounded(500, 1, 1_000_000)
    seed: int = bounded(0, 0, 2**31)


@dataclass(frozen=True)
class Step:
    """What a loop yields."""

    step: int
    steps: int
    losses: dict[str, float]
    seconds_per_step: float


def run_loop(
    name: str,
    model: nn.Module,
    loss: Callable[[int, torch.Generator], dict[str, Tensor]],
    settings: LoopSettings,
    folder: Path,
    *,
    until: int | None = None,
) -> Iterator[Step]:
    """Train `model` by `loss(step, generator)`, whose values are summed; yields now and then.

    until: pause with a checkpoint after this step; the learning rate still follows `settings.steps`.
    Resumes from folder/NAME.pt. On return the model holds the averaged weights where `average` is set.
    NumericalError when the loss is not finite three steps in a row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pt"
    compute = _shared(model, loss) if process_count() > 1 else loss
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=(0.9, 0.98),
        fused=True,
    )
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.average), use_buffers=True
    ) if settings.average else None  # fmt: skip
    first = _resume(path, model, optimizer, averaged) if path.exists() else 0
    generator = torch.Generator().manual_seed(settings.seed + first)
    writer = _writer(folder / "tensorboard" / name) if is_first() else None
    started, bad = time.perf_counter(), 0
    sums: dict[str, Tensor] = {}
    last = settings.steps if until is None else min(until, settings.steps)
    for step in range(first, last):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_at(step, settings)
        model.train()
        losses = compute(step, generator)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(mean_of_all(total)):
            bad += 1
            if bad == 3:
                raise NumericalError(
                    f"The {name} loss is not finite at step {step}.", remedy="Lower the learning rate."
                )
            continue
        bad = 0
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if averaged is not None:
            averaged.update_parameters(model)
        for key, value in losses.items():  # on their device, which is not waited for
            sums[key] = sums.get(key, torch.zeros_like(value)) + value.detach() / 20
        if (step + 1) % 20 == 0:
            seconds = (time.perf_counter() - started) / (step + 1 - first)
            told = torch.stack(list(sums.values())).cpu().double()
            means = dict(zip(sums, mean_of_all(told).tolist(), strict=True))
            if writer is not None:
                for key, mean in means.items():
                    writer.add_scalar(key, mean, step + 1)
            yield Step(step + 1, settings.steps, means, seconds)
            sums = {}
        if is_first() and ((step + 1) % settings.checkpoint_every == 0 or step + 1 == last):
            _save(path, step + 1, model, optimizer, averaged)
    if writer is not None:
        writer.close()
    wait_for_all()
    if averaged is not None:
        model.load_state_dict(averaged.module.state_dict())
    model.eval()


def rate_at(step: int, settings: LoopSettings) -> float:
    """Share of the highest learning rate at a step: linear warm-up, then cosine decay to `final_rate`."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    cosine = float(0.5 * (1 + torch.cos(torch.tensor(min(done, 1.0) * torch.pi))))
    return settings.final_rate + (1 - settings.final_rate) * cosine


def load_weights(path: Path, model: nn.Module, *, without: str | tuple[str, ...] = ()) -> int:
    """The (averaged) weights of a checkpoint into a model; returns its step. What begins with `without` in a
    state dict stays the model's own. SettingError where they do not fit."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    weights = state["averaged"] or state["model"]
    taken = {name: value for name, value in weights.items() if not name.startswith(without)}
    own = {name: value for name, value in model.state_dict().items() if name.startswith(without)}
    with _fitting(path):
        model.load_state_dict({**taken, **own})
    model.eval()
    return int(state["step"])


@contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """Weights that a model has no place for become a SettingError."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise SettingError(
            f"The weights of {path} do not fit the model that these settings ask for.",
            remedy="Use the settings that they were trained with, or another folder.",
        ) from error


def save_weights(path: Path, model: nn.Module) -> None:
    """A checkpoint of step 0 for `load_weights`, of weights that were trained elsewhere."""
    torch.save({"step": 0, "model": model.state_dict(), "averaged": None}, path)


class _LossModule(nn.Module):
    """The loss as the forward pass of the model, which is what DistributedDataParallel can wrap."""

    def __init__(self, model: nn.Module, loss: Callable[[int, torch.Generator], dict[str, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        return self._loss(step, generator)


def _shared(
    model: nn.Module, loss: Callable[[int, torch.Generator], dict[str, Tensor]]
) -> Callable[[int, torch.Generator], dict[str, Tensor]]:
    """The loss with gradients averaged over all processes, which start from the first one's weights."""
    return DistributedDataParallel(_LossModule(model, loss), find_unused_parameters=True)


def _save(
    path: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer,
    averaged: torch.optim.swa_utils.AveragedModel | None,
) -> None:  # fmt: skip
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "averaged": averaged.module.state_dict() if averaged else None,
    }
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def _resume(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer,
    averaged: torch.optim.swa_utils.AveragedModel | None,
) -> int:  # fmt: skip
    state = torch.load(path, weights_only=True, map_location="cpu")
    with _fitting(path):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if averaged is not None and state["averaged"]:
            averaged.module.load_state_dict(state["averaged"])
            averaged.n_averaged.fill_(state["step"])
    logger.info("%s goes on from step %d", path.stem, state["step"])
    return int(state["step"])


def _writer(folder: Path):
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
