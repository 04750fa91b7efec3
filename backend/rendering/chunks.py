"""Questions to a field without gradients, in chunks that fit the cache or the memory."""

from collections.abc import Callable

import torch
from torch import Tensor

from backend.device import is_out_of_memory

CPU_CHUNK, ACCELERATOR_CHUNK = 8192, 1 << 18
"""Points per decoder call: on a CPU what stays in the cache."""
SMALLEST_CHUNK = 256


def chunk_size(device: torch.device) -> int:
    """Points per decoder call on the device while memory suffices."""
    return CPU_CHUNK if device.type == "cpu" else ACCELERATOR_CHUNK


def ask(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """What a one-shape field's `occupancy` or `color` answers at points [..., 3]: [...] or [..., 3].

    Where a chunk does not fit in the memory, halves are tried, down to SMALLEST_CHUNK; then the allocator's
    error is raised.
    """
    size, flat, parts, start = chunk_size(points.device), points.reshape(-1, 3), [], 0
    with torch.no_grad():
        while start < len(flat) or not parts:
            try:
                parts.append(function(flat[None, start : start + size])[0])
            except (MemoryError, RuntimeError) as error:
                if size <= SMALLEST_CHUNK or not is_out_of_memory(error):
                    raise
                size //= 2
                continue
            start += size
    answers = torch.cat(parts)
    return answers.reshape(*points.shape[:-1], *answers.shape[1:])
