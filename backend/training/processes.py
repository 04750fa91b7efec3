"""Training in several processes under torchrun: who draws what, and what they tell each other.

Every process makes the same random draws for the whole batch and keeps its own part, so that P processes
with batch B do what one does with batch P * B. Gradients are averaged by DistributedDataParallel in
`loop.py`. On its own, a process is the whole.
"""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

Drawn = TypeVar("Drawn", Tensor, np.ndarray)


def start_processes() -> None:
    """Join the other processes where torchrun started this one; nothing otherwise."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        # The mapper trains on the processor, also where there are GPUs.
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")


def end_processes() -> None:
    """Leave the others, once all is done."""
    if dist.is_initialized():
        dist.destroy_process_group()


def process_count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def process_rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return process_rank() == 0


def wait_for_all() -> None:
    """Go on when all processes have come here."""
    if dist.is_initialized():
        dist.barrier()


def own_part(drawn: Drawn) -> Drawn:
    """This process's rows of what was drawn for the whole batch."""
    count, rank = process_count(), process_rank()
    share = len(drawn) // count
    return drawn[rank * share : (rank + 1) * share]


def from_all(values: Tensor) -> Tensor:
    """Rows [B, ...] of all processes in order, [P * B, ...]; gradients find their way back."""
    return _Gather.apply(values) if process_count() > 1 else values


def texts_from_all(texts: Sequence[str]) -> list[str]:
    """Texts of all processes in order."""
    if process_count() == 1:
        return list(texts)
    gathered: list[Any] = [None] * process_count()
    dist.all_gather_object(gathered, list(texts))
    return [text for part in gathered for text in part]


def mean_of_all(value: Tensor) -> Tensor:
    """The mean over the processes of a number, without gradients."""
    if process_count() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / process_count()


class _Gather(torch.autograd.Function):
    """all_gather whose backward pass adds up what every process's loss wants of these rows."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values) for _ in range(process_count())]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return own_part(total)
