"""Where and how precisely to compute: device, precision, threads, memory, determinism.

The only module that spells device names. Everything else takes the device of its inputs.
"""

import contextlib
import logging
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import torch

from backend.errors import MemoryShortError, SettingError

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bfloat16", "float16")
"""Of CLIP on rendered views; geometry is always computed in float32, roots need it."""

_REPORTED_PACKAGES = ("torch", "open_clip_torch", "numpy", "scikit-image", "safetensors")


def resolve_device(name: str = "auto") -> torch.device:
    """The device for auto, cpu, cuda, cuda:N or mps; SettingError where there is none such."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    usable = {
        "cpu": index == "",
        "cuda": torch.cuda.is_available()
        and (not index or index in map(str, range(torch.cuda.device_count()))),
        "mps": torch.backends.mps.is_available() and index == "",
    }
    if not usable.get(kind, False):
        raise SettingError(
            f"The device {name!r} is not available.",
            remedy=f"Choose one of: {', '.join(['auto', *available_devices()])}.",
        )
    return torch.device(name)


def available_devices() -> list[str]:
    """Names that `resolve_device` accepts here, besides auto."""
    names = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*names, "mps"] if torch.backends.mps.is_available() else names


def describe_device(device: torch.device) -> str:
    """The device in words, for reports."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.processor() or platform.machine()}, {torch.get_num_threads()} threads)"


def set_threads(count: int | None) -> int:
    """Set the CPU threads torch computes with (None keeps its choice); returns the number in use.

    The number is part of a recipe: sums are split over threads, so it changes the last bits.
    """
    if count is not None:
        if not 1 <= count <= 256:
            raise SettingError(f"threads is {count}.", remedy="Choose threads between 1 and 256.")
        torch.set_num_threads(count)
    return torch.get_num_threads()


def check_precision(precision: str, device: torch.device) -> None:
    """SettingError for an unknown precision or one that the device cannot do."""
    if precision not in PRECISIONS:
        raise SettingError(f"precision is {precision!r}.", remedy=f"Choose one of {', '.join(PRECISIONS)}.")
    if precision == "float16" and device.type == "cpu":
        raise SettingError("The CPU does not compute in float16.", remedy="Choose float32 or bfloat16.")


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """A context in which CLIP computes in the precision."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Within: the same inputs give the same bits on the CPU; a GPU is left as fast as it is."""
    if device.type != "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warn_before = torch.is_deterministic_algorithms_warn_only_enabled()
    fill_before = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory costs time and only matters to code that reads it unwritten.
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_before)
        torch.utils.deterministic.fill_uninitialized_memory = fill_before


def peak_memory(device: torch.device) -> dict[str, int]:
    """Greatest memory so far in bytes: `process`, and `device` on a GPU."""
    import psutil

    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        process = int(info.peak_wset)
    else:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    peak = {"process": process}
    if device.type == "cuda":
        peak["device"] = int(torch.cuda.max_memory_allocated(device))
    return peak


def restart_peak_memory(device: torch.device) -> int:
    """Let `peak_memory` of a GPU count from now on; returns the bytes that are in use there, 0 on a CPU."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return int(torch.cuda.memory_allocated(device))


def wait_for(device: torch.device) -> None:
    """Return when the device has done all it was told; measurements need it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def require_memory(needed: int, *, available: int | None = None) -> None:
    """MemoryShortError where less than `needed` bytes are free (`available` as told, else measured)."""
    free = free_memory(torch.device("cpu")) if available is None else available
    if free < needed:
        raise MemoryShortError(
            f"{free / 2**30:.1f} GB of memory are free, about {needed / 2**30:.1f} GB are needed.",
            remedy="Close other programs, or lower the mesh resolution and the view size.",
        )


def exact_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 on Apple's GPUs, which know no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def free_memory(device: torch.device) -> int:
    """Bytes that a job may still take on the device; on the CPU those that the whole machine has to spare."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    import psutil

    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch reports it on the CPU as a plain RuntimeError, told
    apart by its text only."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("allocate memory", "out of memory")
    )


@contextlib.contextmanager
def memory_guard(when: str) -> Iterator[None]:
    """Within: running out of memory is a MemoryShortError that says `when`. Serves as a decorator too."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryShortError(
            f"The memory did not suffice {when}.",
            remedy="Close other programs, or lower --views, --view-size and --mesh-resolution.",
        ) from error


def versions() -> dict[str, str]:
    """Versions that a result depends on, for its recipe."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in _REPORTED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
