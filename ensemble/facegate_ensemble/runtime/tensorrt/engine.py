"""An engine file, loaded and held to what every served net has: TensorRT 10.1 to 11, or TensorRT for RTX from 1.2."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from facegate_ensemble.runtime.inference_error import NetFault, reason
from facegate_ensemble.runtime.tensorrt.log import log_of

PACKAGES = {".plan": "tensorrt", ".rtx": "tensorrt_rtx"}
"""Which package runs an engine, by the file's suffix."""

INSTALL = {
    "tensorrt": "it is in NVIDIA's containers (docs/container.md) and in NVIDIA's own package index",
    "tensorrt_rtx": "run `make tensorrt-rtx`, or pip install tensorrt-rtx-cu13",
}

AGAIN = "run `facegate build` again, on this machine"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output by name, and the shape of one row of its batch."""

    name: str
    row: tuple[int, ...]


class Engine:
    """An engine of one UINT8 input [B, H, W, 3] and FP32 outputs of fixed rows. A CUDA context must be current."""

    def __init__(self, path: Path, max_batch: int) -> None:
        """Load <net>/<version>/<file>. Raises NetFault where it cannot be loaded or is not as every served net is."""
        self._net = path.parents[1].name
        self._file = "/".join(path.parts[-2:])
        self._library = library_for(path)
        self._log = log_of(self._library)
        self._rtx = path.suffix == ".rtx"
        self._log.forget()
        try:
            self._runtime = self._library.Runtime(self._log)
            # A plan for later versions too brings a runtime of its own. It is trusted as the repository's model.py is.
            self._runtime.engine_host_code_allowed = not self._rtx
            self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        except OSError as error:
            raise NetFault(f"{self._net}: {self._file} cannot be read: {error.strerror}: {AGAIN}") from None
        except (TypeError, RuntimeError):  # a Runtime that cannot be made is a TypeError of the bindings
            self._engine = None
        if self._engine is None:
            name, version = PACKAGES[path.suffix], self._library.__version__
            raise self._fault(f"cannot be loaded by {name} {version}: {self._log.first_error()}")
        self.input, self.outputs = self._tensors(max_batch)

    @property
    def captures_itself(self) -> bool:
        """Whether it makes CUDA graphs of its own, as TensorRT for RTX does when it has compiled a shape's kernels."""
        return self._rtx

    @property
    def scratch_bytes(self) -> int:
        """The GPU memory that a run of a full batch needs between its layers."""
        return int(self._engine.device_memory_size_v2)

    def execution(self, scratch: int) -> Execution:
        """A new execution whose runs use the GPU memory at the address `scratch`; no two of such may overlap.

        One that captures itself takes memory of its own. Raises NetFault.
        """
        self._log.forget()
        if self.captures_itself:
            config = self._engine.create_runtime_config()
            config.cuda_graph_strategy = self._library.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            context = self._engine.create_execution_context(config)
        else:
            strategy = self._library.ExecutionContextAllocationStrategy.USER_MANAGED
            context = self._engine.create_execution_context(strategy)
        if context is None:
            raise self._fault(f"cannot be made ready to run: {self._log.first_error()}")
        if not self.captures_itself:
            context.set_device_memory(scratch, self.scratch_bytes)
        return Execution(context, self._log)

    def close(self) -> None:
        """Give it back, after its executions and in the context it was loaded in."""
        del self._engine
        del self._runtime

    def _tensors(self, max_batch: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        engine, kinds = self._engine, self._library.DataType
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []
        for name in (engine.get_tensor_name(i) for i in range(engine.num_io_tensors)):
            is_input = engine.get_tensor_mode(name) == self._library.TensorIOMode.INPUT
            shape, kind = tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name)
            wanted = kinds.UINT8 if is_input else kinds.FLOAT
            fixed = len(shape) > 1 and all(side > 0 for side in shape[1:])
            if kind != wanted or not fixed or (is_input and (len(shape) != 4 or shape[3] != 3)):
                served = "an input is UINT8 [B, H, W, 3]" if is_input else "an output is FP32 [B, ...]"
                described = f"{kind.name} {list(shape)}"
                raise self._fault(
                    f"has {'an input' if is_input else 'an output'} {name}, {described}; of a net, {served}"
                )
            (inputs if is_input else outputs).append(Tensor(name, shape[1:]))
        if len(inputs) != 1 or not outputs:
            raise self._fault(f"has {len(inputs)} inputs and {len(outputs)} outputs, and a net has one input")
        least, _, most = engine.get_tensor_profile_shape(inputs[0].name, 0)
        if least[0] != 1 or most[0] < max_batch:
            raise self._fault(f"takes batches of {least[0]} to {most[0]}, and the pack wants 1 to {max_batch}")
        for output in outputs:
            rows = engine.get_tensor_shape(output.name)[0]
            if rows != -1 and (rows, most[0]) != (1, 1):
                raise self._fault(
                    f"answers {rows} rows of {output.name} to every batch, and of a net one for each image"
                )
        return inputs[0], tuple(outputs)

    def _fault(self, what: str) -> NetFault:
        return NetFault(f"{self._net}: {self._file} {what}: {AGAIN}")


class Execution:
    """One execution context. A CUDA graph of its work needs one for itself: a later change of shape would spoil it."""

    def __init__(self, context: Any, log: Any) -> None:
        self._context, self._log = context, log

    def bind(self, tensor: Tensor, address: int) -> None:
        """Say where on the GPU `tensor` is. Raises RuntimeError."""
        self._log.forget()
        self._check(self._context.set_tensor_address(tensor.name, address))

    def enqueue(self, source: Tensor, rows: int, stream: int) -> None:
        """Give a run of `rows` to `stream` (a CUstream). Raises RuntimeError."""
        self._log.forget()
        self._check(self._context.set_input_shape(source.name, (rows, *source.row)))
        self._check(self._context.execute_async_v3(stream))

    def close(self) -> None:
        """Give it back, when its last run is over."""
        del self._context

    def _check(self, done: bool) -> None:
        if not done:
            raise RuntimeError(self._log.first_error())


def library_for(path: Path) -> ModuleType:
    """tensorrt or tensorrt_rtx, as the engine file needs it. Raises NetFault, which says what to install."""
    name = PACKAGES.get(path.suffix, "")
    if not name:
        raise NetFault(f"{path.parents[1].name}: an engine is a .plan or .rtx file, and {path.name} is neither")
    try:
        library = importlib.import_module(name)
    except ModuleNotFoundError:
        fault = "is not installed"
    except Exception as error:  # its libraries may be of another CUDA, and say so each in its own way
        fault = f"cannot be loaded ({reason(error)})"
    else:
        if hasattr(library, "Runtime"):
            return library
        fault = "has nothing in it"  # the one of PyPI, without NVIDIA's libraries
    raise NetFault(f"{path.parents[1].name}: {name}, the package that runs {path.name}, {fault}: {INSTALL[name]}")


def engine_in(folder: Path) -> Path:
    """The engine of <net>/<version>: model.plan, else model.rtx. Raises NetFault where it has neither."""
    for suffix in PACKAGES:
        if (folder / f"model{suffix}").is_file():
            return folder / f"model{suffix}"
    raise NetFault(
        f"{folder.parent.name}: there is neither model.plan nor model.rtx in its {folder.name}/: "
        "run `facegate build --target tensorrt`"
    )
