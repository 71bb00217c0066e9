"""What is missing for a GPU is said in one line; CUDA graphs leave nothing behind."""

from __future__ import annotations

import contextlib
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from facegate_ensemble.runtime.tensorrt import cuda_driver
from facegate_ensemble.runtime.tensorrt.cuda_context import primary_context
from facegate_ensemble.runtime.tensorrt.cuda_driver import CudaError, require_gpu
from facegate_ensemble.runtime.tensorrt.session import CudaGraph
from support.fake_gpu import made_gpu


@pytest.fixture
def gpu(monkeypatch):
    yield from made_gpu(monkeypatch)


def test_no_driver(monkeypatch):
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libcuda-that-is-not-there.so.1")
    with pytest.raises(
        CudaError, match=r"^there is no NVIDIA driver here \(libcuda-that-is-not-there\.so\.1 cannot be"
    ):
        require_gpu()


def test_a_driver_without_a_gpu(monkeypatch):
    class Hidden:
        def cuInit(self, flags):  # noqa: N802
            return 100

        def cuGetErrorName(self, status, name):  # noqa: N802
            name._obj.value = b"CUDA_ERROR_NO_DEVICE"

    monkeypatch.setattr(cuda_driver, "_driver", Hidden)
    with pytest.raises(CudaError, match=r"^the NVIDIA driver finds no GPU \(cuInit: CUDA_ERROR_NO_DEVICE\): .*VISIBLE"):
        require_gpu()


def test_no_pycuda_points_to_the_page_that_says_how_to_build_it(gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(CudaError, match=r"^PyCUDA is not installed, .* docs/pycuda\.md"):
        primary_context(0)


def test_a_pycuda_of_another_cuda_says_what_the_system_said(gpu, monkeypatch):
    class Unloadable:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "pycuda.driver":
                raise ImportError("_driver.so: undefined symbol: cuCtxCreate_v4\nmore")

    monkeypatch.setitem(sys.modules, "pycuda", types.ModuleType("pycuda"))
    monkeypatch.setattr(sys.modules["pycuda"], "__path__", [], raising=False)
    monkeypatch.delitem(sys.modules, "pycuda.driver")
    monkeypatch.setattr(sys, "meta_path", [Unloadable, *sys.meta_path])
    with pytest.raises(
        CudaError, match=r"^PyCUDA cannot be loaded \(_driver\.so: undefined symbol: cuCtxCreate_v4\): "
    ):
        primary_context(0)


def test_a_context_that_fails_inside_is_not_left_current(gpu):
    seen = []

    def fail():
        seen.extend(gpu.contexts())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), primary_context(0).current():
        fail()
    assert len(seen) == 1 and gpu.contexts() == []


def test_threads_that_ask_for_a_gpu_at_the_same_time_retain_its_context_once(gpu, monkeypatch):
    both_inside, retained = threading.Barrier(2), []

    def init():
        retained.append(threading.get_ident())
        with contextlib.suppress(threading.BrokenBarrierError):
            both_inside.wait(0.5)  # as long as the other could take to come in too

    monkeypatch.setattr(sys.modules["pycuda.driver"], "init", init)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(primary_context, [0, 0])
    assert first is second
    assert len(retained) == 1


def test_what_goes_wrong_while_a_graph_is_recorded_is_raised_and_the_stream_runs_again(gpu):
    with primary_context(0).current() as cuda:
        stream = cuda.Stream(1)
        with pytest.raises(ZeroDivisionError):
            CudaGraph(stream.handle, lambda: 1 / 0)
        assert gpu.streams[stream.handle]["recording"] is None
        graph = CudaGraph(stream.handle, lambda: None)
        graph.launch()
        graph.close()
        del stream
    gpu.everything_is_back()
