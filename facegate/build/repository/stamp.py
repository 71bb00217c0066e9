"""What an engine was made of, by what and for what: a JSON file beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError

from facegate.build.device import Gpu
from facegate.build.profile import Profile
from facegate.build.target import Precision, Target
from facegate.errors import EngineError
from facegate_ensemble.pack import Listed, Section

TURING, AMPERE = "7.5", "8.0"
"""The least compute capability that TensorRT for RTX runs on, and that TensorRT's hardware compatible engines do."""


class Stamp(Section):
    """One engine. SHA-256s are lower-case hexadecimal, sizes bytes, times seconds.

    `source` is the published net's file, `served` the graph that is served in fp32, `graph` the one that was compiled
    (the same, in the precision), `engine` what came of it. `version` is TensorRT's or ONNX Runtime's. `gpu` and
    `compute_capability` are None for an engine that is bound to none. `gate` has the largest differences to `served`,
    once they were measured, and what ran the engine then.
    """

    model: str
    pack: str
    source: str
    served: str
    graph: str
    engine: str
    precision: Annotated[Precision, Listed]
    keep_fp32: Annotated[tuple[str, ...], Listed]
    profile: dict[str, int]
    target: Annotated[Target, Listed]
    version: str
    gpu: str | None
    compute_capability: str | None
    options: dict[str, Any]
    tools: dict[str, str]
    seconds: float
    size: int
    key: str
    gate: dict[str, Any] | None = None

    def misfit(self, version: str | None, gpus: Sequence[Gpu]) -> str | None:
        """Why the engine cannot be run by TensorRT `version` (None: not known) on a machine with `gpus`, or None."""
        if version is not None and version != self.version:
            later = _numbers(version) > _numbers(self.version)
            if not (later and self.options.get("version_compatible")):
                return f"was built by {self.target.label} {self.version}, and {version} is here"
        for gpu in gpus:
            if self.gpu is None or self.options.get("hardware_compatible"):
                least = TURING if self.gpu is None else AMPERE
                if _numbers(gpu.compute_capability) < _numbers(least):
                    return f"runs on GPUs from compute capability {least} on, and {gpu} is here"
            elif (gpu.name, gpu.compute_capability) != (self.gpu, self.compute_capability):
                return f"was built for {Gpu(self.gpu, self.compute_capability or '?')}, and {gpu} is here"
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def engine_key(
    *,
    served: str,
    precision: Precision,
    keep_fp32: Sequence[str],
    profile: Profile,
    target: Target,
    version: str,
    gpu: Gpu | None,
    options: dict[str, Any],
    tools: dict[str, str],
) -> str:
    """A name for everything that an engine depends on: where it is equal, the engine need not be built again."""
    parts = [
        served,
        precision.value,
        sorted(keep_fp32),
        [profile.min, profile.opt, profile.max],
        target.value,
        version,
        gpu and [gpu.name, gpu.compute_capability],
        options,
        tools,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def stamp_file(engine: Path) -> Path:
    """Where the stamp of an engine is."""
    return engine.with_name(f"{engine.name}.json")


def read_stamp(engine: Path) -> Stamp:
    """The stamp of an engine that is there and is the one that was stamped. Raises EngineError."""
    model = engine.parents[1].name
    try:
        stamp = Stamp.model_validate_json(stamp_file(engine).read_bytes())
        data = engine.read_bytes()
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not one"
        raise EngineError(f"{model}: {engine.name} or its stamp cannot be read: {reason}") from None
    if sha256(data) != stamp.engine:
        raise EngineError(f"{model}: {engine.name} is not the file that was stamped when it was built")
    return stamp


def write_stamp(stamp: Stamp, engine: Path) -> None:
    """Write the stamp of an engine beside it."""
    stamp_file(engine).write_text(stamp.model_dump_json(indent=1) + "\n", encoding="utf-8")


def sha256(data: bytes) -> str:
    """In lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()
