"""What a user may choose of how an engine is built."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facegate.build.target import Target
from facegate.errors import EngineError


@dataclass(frozen=True, slots=True)
class Options:
    """Choices of TensorRT's builder.

    `workspace` is the memory in MiB that a kernel may use while it runs, all there is where None; `timing_cache` a
    directory where measured kernels are remembered from build to build; `version_compatible` lets later TensorRT
    versions load the engine, `hardware_compatible` other GPUs from Ampere on; `layers` keeps what the engine
    inspector's report by layer needs.
    """

    workspace: int | None = None
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    layers: bool = False

    def check(self, target: Target) -> None:
        """Raises EngineError for what `target` does not have."""
        refused = {
            Target.onnxruntime: ["workspace", "timing_cache", "version_compatible", "hardware_compatible", "layers"],
            Target.tensorrt_rtx: ["timing_cache", "version_compatible", "hardware_compatible"],
            Target.tensorrt: [],
        }[target]
        for name in refused:
            if getattr(self, name) not in (None, False):
                reason = "its engines run on every GPU it supports" if name == "hardware_compatible" else "it has none"
                raise EngineError(f"--{name.replace('_', '-')} is not for {target.label}: {reason}; leave it out")

    def chosen(self) -> dict[str, Any]:
        """What the engine depends on, for its stamp. A timing cache only makes building quicker."""
        return {name: value for name, value in asdict(self).items() if name != "timing_cache"}
