"""Devices, threads, precision and memory: known answers and refusals."""

import pytest
import torch

from backend.device import (
    available_devices,
    check_precision,
    deterministic,
    exact_dtype,
    free_memory,
    is_out_of_memory,
    peak_memory,
    require_memory,
    resolve_device,
    set_threads,
    versions,
)
from backend.errors import MemoryShortError, SettingError


def test_device_names() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device().type in ("cpu", "cuda")
    assert available_devices()[0] == "cpu"


@pytest.mark.parametrize("name", ["cpu:0", "tpu", "cuda:99", ""])
def test_absent_devices_are_refused_with_the_present_ones(name: str) -> None:
    with pytest.raises(SettingError, match="not available") as caught:
        resolve_device(name)
    assert "cpu" in caught.value.remedy


def test_threads_are_set_and_bounded() -> None:
    before = torch.get_num_threads()
    try:
        assert set_threads(1) == 1 and torch.get_num_threads() == 1
        assert set_threads(None) == 1
    finally:
        set_threads(before)
    with pytest.raises(SettingError, match="threads is 0"):
        set_threads(0)


def test_precision_is_checked_against_the_device() -> None:
    check_precision("bfloat16", torch.device("cpu"))
    with pytest.raises(SettingError, match="'float8'"):
        check_precision("float8", torch.device("cpu"))
    with pytest.raises(SettingError, match="float16"):
        check_precision("float16", torch.device("cpu"))


def test_deterministic_is_undone_also_after_an_error() -> None:
    with pytest.raises(ValueError, match="inside"), deterministic(torch.device("cpu")):
        assert torch.are_deterministic_algorithms_enabled()
        raise ValueError("inside")
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(torch.device("cuda")):
        assert not torch.are_deterministic_algorithms_enabled()


def test_free_memory_is_in_bytes_and_memory_errors_are_told_apart() -> None:
    assert 1e6 < free_memory(torch.device("cpu")) < 1e13
    for error in (MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("MPS backend out of memory (x)")):
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_apple_gpus_get_no_float64() -> None:
    assert exact_dtype(torch.device("mps")) == torch.float32
    assert exact_dtype(torch.device("cpu")) == exact_dtype(torch.device("cuda")) == torch.float64


def test_memory_is_measured_and_required() -> None:
    # A torch process is larger than 50 MB and smaller than 1 TB: the unit is bytes.
    assert 50e6 < peak_memory(torch.device("cpu"))["process"] < 1e12
    require_memory(2**30, available=2**31)
    with pytest.raises(MemoryShortError, match=r"1\.0 GB of memory are free, about 2\.0 GB"):
        require_memory(2**31, available=2**30)
    assert versions()["torch"].startswith(torch.__version__.split("+")[0])
