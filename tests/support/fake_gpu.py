"""A GPU for machines without one: what a session uses of libcuda, PyCUDA and TensorRT, strict about their rules.

Work on a stream is done when someone waits for it. A call without a current context, a graph of a spoilt execution
context and a shape that was never run before it is recorded are errors, as they are on a real one or worse.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, IntEnum

import numpy as np

from facegate_ensemble.runtime.tensorrt import cuda_context, cuda_driver

NO_CONTEXT = "invalid context: no currently active context?"


class Error(Exception):
    """PyCUDA's."""


class FakeGpu:
    """What was called, what is alive, and where a failure was asked for."""

    def __init__(self):
        self.calls, self.released, self.launched = [], [], []
        self.alive = {}
        self.memory = {}
        self.streams, self.graphs = {}, {}
        self.fail_at = None
        self.fallible = 0
        self.astray = []
        self._stack = threading.local()
        self._addresses = iter(range(1 << 33, 1 << 40, 1 << 20))  # beyond 32 bits, as real ones are

    def contexts(self):
        """This thread's context stack."""
        self._stack.__dict__.setdefault("held", [])
        return self._stack.held

    def step(self, name):
        """Something that may fail: whether it is to fail now."""
        self.calls.append(name)
        self.fallible += 1
        return self.fail_at is not None and self.fallible == self.fail_at

    def pycuda(self, name):
        if not self.contexts():
            raise Error(NO_CONTEXT)
        if self.step(name):
            raise Error(f"{name} failed: asked for")

    def take(self, kind):
        address = next(self._addresses)
        self.alive[address] = kind
        return address

    def give_back(self, address):
        if address in self.alive:
            kind = self.alive.pop(address)
            self.released.append(kind)
            if not self.contexts():
                self.astray.append(kind)

    def enqueue(self, stream, work):
        state = self.streams[stream]
        (state["pending"] if state["recording"] is None else state["recording"]).append(work)

    def finish(self, stream):
        pending, self.streams[stream]["pending"] = self.streams[stream]["pending"], []
        for work in pending:
            work()

    def install(self, monkeypatch):
        """Be what `ensemble` finds when it looks for a GPU, PyCUDA and TensorRT."""
        driver = _pycuda(self)
        monkeypatch.setitem(sys.modules, "pycuda", types.ModuleType("pycuda"))
        monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
        for name in ("tensorrt", "tensorrt_rtx"):
            monkeypatch.setitem(sys.modules, name, _tensorrt(self, name))
        monkeypatch.setattr(cuda_driver, "_driver", lambda: _Libcuda(self))
        monkeypatch.setattr(cuda_context, "_contexts", {})

    def everything_is_back(self):
        """Nothing alive, nothing given back without a context, no context left current."""
        gc.collect()
        assert (self.alive, self.astray, self.contexts()) == ({}, [], [])


@contextmanager
def only_new_garbage() -> Iterator[None]:
    """Garbage collections look only at what is made from now on: after a thousand other tests, all else takes long."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def made_gpu(monkeypatch):
    """For a fixture: a FakeGpu that is installed until the test's sessions are gone."""
    with only_new_garbage():
        gpu = FakeGpu()
        gpu.install(monkeypatch)
        yield gpu
        gc.collect()


class _Held:
    gpu = None

    def __init__(self, gpu, kind):
        self.gpu, self.handle = gpu, gpu.take(kind)

    def __del__(self):
        if self.gpu:
            self.gpu.give_back(self.handle)


def _pycuda(gpu):
    class Stream(_Held):
        def __init__(self, flags):
            assert flags == 1
            gpu.pycuda("Stream")
            super().__init__(gpu, "stream")
            gpu.streams[self.handle] = {"pending": [], "recording": None}

        def synchronize(self):
            gpu.pycuda("Stream.synchronize")
            gpu.finish(self.handle)

    class Event(_Held):
        def __init__(self, flags):
            gpu.pycuda("Event")
            super().__init__(gpu, "event")

        def record(self, stream):
            gpu.pycuda("Event.record")
            self.stream = stream.handle

        def synchronize(self):
            gpu.pycuda("Event.synchronize")
            gpu.finish(self.stream)

    class Allocation(_Held):
        def __init__(self, size, kind="device memory"):
            gpu.pycuda("alloc")
            super().__init__(gpu, kind)
            gpu.memory[self.handle] = np.full(size, 0xAB, np.uint8)

        def __int__(self):
            return self.handle

        def free(self):
            gpu.give_back(self.handle)

    class Locked(np.ndarray):
        pass

    def pagelocked_empty(shape, dtype):
        allocation = Allocation(int(np.prod(shape)) * np.dtype(dtype).itemsize, "host memory")
        array = gpu.memory[allocation.handle].view(dtype).reshape(shape).view(Locked)
        return _Based(array, allocation)

    class Context:
        def push(self):
            gpu.contexts().append(self)

        def pop(self):
            assert gpu.contexts().pop() is self

        def detach(self):
            assert self not in gpu.contexts()

    class Device:
        def __init__(self, number):
            if number:
                raise Error("cuDeviceGet failed: invalid device ordinal")

        def retain_primary_context(self):
            return Context()

    def copy(target, source):
        target[:] = source

    def memcpy_htod_async(device, host, stream):
        gpu.pycuda("htod")
        target = gpu.memory[int(device)][: host.nbytes]
        gpu.enqueue(stream.handle, lambda: copy(target, host.reshape(-1).view(np.uint8)))

    def memcpy_dtoh_async(host, device, stream):
        gpu.pycuda("dtoh")
        source = gpu.memory[int(device)][: host.nbytes]
        gpu.enqueue(stream.handle, lambda: copy(host.reshape(-1).view(np.uint8), source))

    driver = types.ModuleType("pycuda.driver")
    driver.Error, driver.Stream, driver.Event, driver.Device = Error, Stream, Event, Device
    driver.mem_alloc, driver.pagelocked_empty = Allocation, pagelocked_empty
    driver.memcpy_htod_async, driver.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async
    driver.event_flags = types.SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2)
    driver.init = lambda: None
    return driver


class _Based:
    """An array whose base is its allocation, as PyCUDA's page-locked ones are; slices are plain arrays."""

    def __init__(self, array, base):
        self._array, self.base, self.nbytes = array.view(np.ndarray), base, array.nbytes

    def __getitem__(self, key):
        return self._array[key]

    def __setitem__(self, key, value):
        self._array[key] = value


class _Libcuda:
    def __init__(self, gpu):
        self._gpu = gpu

    def __getattr__(self, name):
        def call(*arguments):
            gpu = self._gpu
            if name == "cuInit":
                return 0
            if name == "cuGetErrorName":
                arguments[1]._obj.value = b"CUDA_ERROR_ASKED_FOR"
                return 0
            values = [argument.value if hasattr(argument, "value") else argument for argument in arguments]
            if not gpu.contexts():
                return 201
            if not name.endswith("Destroy") and gpu.step(name):
                if name == "cuStreamEndCapture":
                    gpu.streams[values[0]]["recording"] = None
                return 999
            getattr(self, f"_{name}")(*values)
            return 0

        return call

    def _cuStreamBeginCapture_v2(self, stream, mode):  # noqa: N802
        assert (mode, self._gpu.streams[stream]["pending"]) == (1, [])
        self._gpu.streams[stream]["recording"] = []

    def _cuStreamEndCapture(self, stream, graph):  # noqa: N802
        state = self._gpu.streams[stream]
        graph._obj.value = self._gpu.take("recording")
        self._gpu.graphs[graph._obj.value] = state["recording"]
        state["recording"] = None

    def _cuGraphInstantiateWithFlags(self, executable, graph, flags):  # noqa: N802
        executable._obj.value = self._gpu.take("graph")
        self._gpu.graphs[executable._obj.value] = self._gpu.graphs[graph]

    def _cuGraphLaunch(self, graph, stream):  # noqa: N802
        assert graph in self._gpu.alive
        self._gpu.launched.append(graph)
        for work in self._gpu.graphs[graph]:
            self._gpu.enqueue(stream, work)

    def _cuGraphDestroy(self, graph):  # noqa: N802
        self._gpu.graphs.pop(graph, None)
        self._gpu.give_back(graph)

    _cuGraphExecDestroy = _cuGraphDestroy  # noqa: N815


def answer(batch, row):
    """What the made net answers: FP32 [B, *row], an image's sum of pixels plus, at each place of `row`, its number."""
    sums = batch.reshape(len(batch), -1).sum(axis=1, dtype=np.float32)
    return sums.reshape(-1, *[1] * len(row)) + np.arange(np.prod(row), dtype=np.float32).reshape(row)


def engine_bytes(picture=(4, 4, 3), most=8, **changes):
    """An engine file: its tensors as (name, kind, shape), and the batches of its profile."""
    tensors = [
        ("IMAGES", "UINT8", (-1, *picture)),
        ("BOXES", "FLOAT", (-1, 5, 4)),
        ("SCORES", "FLOAT", (-1, 5)),
    ]
    return json.dumps({"tensors": tensors, "least": 1, "most": most, "scratch": 64, **changes}).encode()


def _tensorrt(gpu, name):
    class Severity(IntEnum):
        INTERNAL_ERROR, ERROR, WARNING = range(3)

    class Engine(_Held):
        def __init__(self, runtime, made):
            super().__init__(gpu, "engine")
            self._runtime, self.log, self.made = runtime, runtime.log, made
            self.tensors = {tensor: (kind, tuple(shape)) for tensor, kind, shape in made["tensors"]}
            self.num_io_tensors, self.device_memory_size_v2 = len(self.tensors), made["scratch"]

        def get_tensor_name(self, index):
            return list(self.tensors)[index]

        def get_tensor_mode(self, tensor):
            return module.TensorIOMode.INPUT if tensor.startswith("IMAGES") else module.TensorIOMode.OUTPUT

        def get_tensor_shape(self, tensor):
            return self.tensors[tensor][1]

        def get_tensor_dtype(self, tensor):
            return module.DataType[self.tensors[tensor][0]]

        def get_tensor_profile_shape(self, tensor, index):
            return [(rows, *self.tensors[tensor][1][1:]) for rows in (self.made["least"], 4, self.made["most"])]

        def create_runtime_config(self):
            return types.SimpleNamespace(cuda_graph_strategy=None)

        def create_execution_context(self, how):
            if gpu.step("create_execution_context"):
                self.log.log(Severity.ERROR, "no memory:\n asked for")
                return None
            return Context(self, how)

    class Context(_Held):
        def __init__(self, engine, how):
            super().__init__(gpu, "execution context")
            self.engine, self.how = engine, how
            self.addresses, self.shape, self.ran, self.recorded = {}, None, None, None
            self.memory = getattr(how, "cuda_graph_strategy", None) is not None

        def set_device_memory(self, address, size):
            assert gpu.alive[address] == "device memory" and gpu.memory[address].nbytes >= size
            self.memory = True

        def set_tensor_address(self, tensor, address):
            self.addresses[tensor] = address
            return tensor in self.engine.tensors

        def set_input_shape(self, tensor, shape):
            self.shape = tuple(shape)
            made = self.engine.made
            return made["least"] <= shape[0] <= made["most"] and shape[1:] == self.engine.tensors[tensor][1][1:]

        def execute_async_v3(self, stream):
            recording = gpu.streams[stream]["recording"] is not None
            if not self.memory or set(self.addresses) != set(self.engine.tensors):
                return self._refuse("not everything is bound")
            if recording and (self.ran != self.shape or name == "tensorrt_rtx"):
                return self._refuse("operation not permitted when stream is capturing")
            if gpu.step("execute_async_v3"):
                return self._refuse("asked for")
            if recording:
                self.recorded = self.shape
            self.ran = shape = self.shape
            gpu.enqueue(stream, lambda: self._run(shape, recording))
            return True

        def _refuse(self, why):
            self.engine.log.log(Severity.WARNING, "of no interest")
            self.engine.log.log(Severity.ERROR, why)
            self.engine.log.log(Severity.ERROR, "and more of it")
            return False

        def _run(self, shape, recorded):
            assert gpu.alive[self.handle]
            assert not recorded or self.shape == self.recorded, "the graph's execution context was changed"
            tensors = dict(self.engine.tensors)
            source = next(tensor for tensor in tensors if tensor.startswith("IMAGES"))
            del tensors[source]
            batch = gpu.memory[self.addresses[source]][: int(np.prod(shape))].reshape(shape)
            for tensor, (_, (_, *row)) in tensors.items():
                values = answer(batch, row)
                gpu.memory[self.addresses[tensor]].view(np.float32)[: values.size] = values.reshape(-1)

    class Runtime(_Held):
        def __init__(self, log):
            if gpu.step("Runtime"):
                raise TypeError("pybind11::init(): factory function returned nullptr")
            super().__init__(gpu, "runtime")
            self.log, self.engine_host_code_allowed = log, False

        def deserialize_cuda_engine(self, data):
            if gpu.step("deserialize"):
                return None
            try:
                return Engine(self, json.loads(data))
            except ValueError:
                self.log.log(Severity.ERROR, "magicTag is wrong\n  and so on")
                return None

    module = types.ModuleType(name)
    module.__version__ = "11.4.0"
    module.ILogger = type("ILogger", (), {"__init__": lambda self: None, "Severity": Severity})
    module.DataType = Enum("DataType", ["FLOAT", "HALF", "UINT8", "INT8"])
    module.TensorIOMode = Enum("TensorIOMode", ["INPUT", "OUTPUT"])
    module.ExecutionContextAllocationStrategy = Enum("Strategy", ["STATIC", "USER_MANAGED"])
    if name == "tensorrt_rtx":
        module.CudaGraphStrategy = Enum("CudaGraphStrategy", ["DISABLED", "WHOLE_GRAPH_CAPTURE"])
    module.Runtime = Runtime
    return module
