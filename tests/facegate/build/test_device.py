"""What is said of this machine's GPUs, with a pretended driver: there is none to be had in every place that tests."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from facegate.build.device import Gpu, NoGpuError, gpus


def driver(names: list[str], failing: str = "", capability: tuple[int, int] = (8, 6)) -> Any:
    """A libcuda with these GPUs, one of whose functions may fail."""

    def made(function: str, body: Any) -> Any:
        def call(*arguments: Any) -> int:
            if function == failing:
                return 999
            body(*arguments)
            return 0

        return call

    def count(pointer: Any) -> None:
        pointer._obj.value = len(names)

    def get(pointer: Any, ordinal: int) -> None:
        pointer._obj.value = ordinal

    def name(buffer: Any, size: int, device: ctypes.c_int) -> None:
        assert size == len(buffer)
        buffer.value = names[device.value].encode()

    def attribute(pointer: Any, number: int, device: ctypes.c_int) -> None:
        pointer._obj.value = capability[{75: 0, 76: 1}[number]]

    functions = {
        "cuInit": lambda flags: None,
        "cuDeviceGetCount": count,
        "cuDeviceGet": get,
        "cuDeviceGetName": name,
        "cuDeviceGetAttribute": attribute,
    }
    library = SimpleNamespace(**{each: made(each, body) for each, body in functions.items()})
    return lambda file: library


def test_every_gpu_is_told_with_its_compute_capability() -> None:
    found = gpus(driver(["NVIDIA L4", "NVIDIA A2"], capability=(8, 9)))
    assert found == [Gpu("NVIDIA L4", "8.9"), Gpu("NVIDIA A2", "8.9")]
    assert str(found[0]) == "NVIDIA L4 (compute capability 8.9)"


def test_a_machine_without_a_driver_is_told_from_one_whose_driver_offers_nothing() -> None:
    def missing(file: str) -> Any:
        raise OSError(file)

    with pytest.raises(NoGpuError, match="no NVIDIA driver"):
        gpus(missing)
    with pytest.raises(NoGpuError, match="offers no GPU"):
        gpus(driver([]))


@pytest.mark.parametrize("function", ["cuInit", "cuDeviceGetCount", "cuDeviceGetName", "cuDeviceGetAttribute"])
def test_a_driver_that_fails_is_named_with_its_error(function: str) -> None:
    with pytest.raises(NoGpuError, match=f"{function} fails with CUDA error 999"):
        gpus(driver(["NVIDIA L4"], failing=function))
