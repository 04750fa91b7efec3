"""What the benchmark measures with: counted decoder evaluations, seconds, memory, the machine's own peak."""

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from backend.device import autocast, peak_memory, restart_peak_memory, wait_for
from backend.svr.base import Field, SvrModel

MATRIX_SIDE = 1024
"""Of the matrix product that measures the machine's peak."""
SAMPLED_EVERY = 0.01
"""Seconds between looks at the process's memory."""
MEGABYTE = 1e6

T = TypeVar("T")


@dataclass
class Counter:
    """Points at which a decoder was asked."""

    evaluations: int = 0


class CountedField(Field):
    """A field that counts the points it is asked at: occupancy and colour apart, unless one call of the
    decoder gives both."""

    def __init__(self, field: Field, counter: Counter) -> None:
        self._field = field
        self._counter = counter

    def occupancy(self, points: Tensor) -> Tensor:
        self._count(points)
        return self._field.occupancy(points)

    def color(self, points: Tensor) -> Tensor:
        self._count(points)
        return self._field.color(points)

    def occupancy_and_color(self, points: Tensor) -> tuple[Tensor, Tensor]:
        if type(self._field).occupancy_and_color is Field.occupancy_and_color:
            return super().occupancy_and_color(points)
        self._count(points)
        return self._field.occupancy_and_color(points)

    def __getitem__(self, index: int) -> "CountedField":
        return CountedField(self._field[index], self._counter)

    def detach(self) -> "CountedField":
        return CountedField(self._field.detach(), self._counter)

    def tensors(self, part: str) -> dict[str, Tensor]:
        return self._field.tensors(part)

    def evaluate(self, part: str, tensors: Mapping[str, Tensor], points: Tensor) -> Tensor:
        self._count(points)
        return self._field.evaluate(part, tensors, points)

    def _count(self, points: Tensor) -> None:
        self._counter.evaluations += points.shape[0] * points.shape[1]


class CountedModel:
    """What stage 2 asks of an SVR model, with counted fields."""

    def __init__(self, model: SvrModel, counter: Counter) -> None:
        self.spec = model.spec
        self._model = model
        self._counter = counter

    def field(self, codes: Tensor) -> CountedField:
        return CountedField(self._model.field(codes), self._counter)


def timed(work: Callable[[], T], device: torch.device, repeats: int = 1) -> tuple[float, T]:
    """Median seconds of `repeats` runs on the device, and what the last one returned."""
    seconds = []
    for _ in range(max(1, repeats)):
        wait_for(device)
        start = time.perf_counter()
        result = work()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


class _Operations(TorchDispatchMode):
    """Counts as torch's own FlopCounterMode, whose module hooks do not bear gradients inside gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def count_flops(work: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and convolutions in `work`, a multiplication and an
    addition counted as two."""
    with _Operations() as counter:
        work()
    return int(counter.total)


def matrix_peak(device: torch.device, precision: str, repeats: int = 10) -> float:
    """The best FLOP/s of a square matrix product on this device in a precision."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, MATRIX_SIDE, MATRIX_SIDE, generator=generator).to(device)
    best = float("inf")
    with torch.no_grad(), autocast(device, precision):
        for _ in range(repeats + 1):
            seconds, _ = timed(lambda: left @ right, device)
            best = min(best, seconds)
    return 2 * MATRIX_SIDE**3 / best


class MemoryWatch:
    """Within: the greatest memory above what was in use at the start, of the process and of the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._start = self._peak = 0
        self._device_start = 0
        self.megabytes = 0.0
        """After the end: the process's, or the device's where that is more."""

    def __enter__(self) -> Self:
        self._start = self._peak = self._process.memory_info().rss
        self._device_start = restart_peak_memory(self._device)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        on_device = peak_memory(self._device).get("device", 0) - self._device_start
        self.megabytes = max(self._peak - self._start, on_device) / MEGABYTE

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLED_EVERY):
            self._peak = max(self._peak, self._process.memory_info().rss)
