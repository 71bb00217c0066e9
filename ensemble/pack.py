"""A model pack: which files it is made of, and how each net is fed and read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator

from facegate_client import contract

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DETECTOR = "face_detector"
RECOGNIZER = "face_recognizer"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$")]
Channels = tuple[float, float, float]
Side = Annotated[int, Field(ge=16, le=4096)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class PackError(ValueError):
    """A pack's file cannot be read, or says something impossible."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WeightFile(_Section):
    """Where one file comes from; `size` in bytes, `sha256` in lower-case hexadecimal."""

    url: HttpUrl
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(gt=0)]
    licence: str


class Net(_Section):
    """What every net has: its file, its input size in pixels, and its normalisation (pixel - mean) / std."""

    file: FileName
    height: Side
    width: Side
    colour: Literal["BGR", "RGB"]
    mean: Channels
    std: Channels
    max_batch: Annotated[int, Field(ge=1, le=256)]

    @model_validator(mode="after")
    def _divisible(self) -> Net:
        if not all(self.std):
            raise ValueError("std has a zero, and pixels are divided by it")
        return self


class Detector(Net):
    """`head` names how raw outputs become boxes; `candidates` is K, the boxes a net returns before NMS."""

    head: Literal["yunet"]
    candidates: Annotated[int, Field(ge=1, le=3840)]
    min_score: Probability
    nms_iou: Probability


class Recognizer(Net):
    """`template`: where the five landmarks lie in the aligned crop, in its pixels; `threshold`: cosine distance."""

    dimension: Annotated[int, Field(ge=1, le=65536)]
    threshold: Annotated[float, Field(gt=0.0, le=2.0)]
    template: Annotated[tuple[tuple[float, float], ...], Field(min_length=5, max_length=5)]


class LivenessNet(Net):
    """`crop_scale`: the side of the crop over the side of the face's box."""

    name: Name
    crop_scale: Annotated[float, Field(ge=1.0, le=16.0)]


class Liveness(_Section):
    """The nets whose softmaxes are averaged, and when the mean says "real"."""

    min_real: Probability
    nets: Annotated[tuple[LivenessNet, ...], Field(min_length=1)]


class Pack(_Section):
    """Everything that the rest of the project knows about a set of nets."""

    name: Name
    description: str
    licence: str
    files: dict[FileName, WeightFile]
    detector: Detector
    recognizer: Recognizer
    liveness: Liveness

    @model_validator(mode="after")
    def _consistent(self) -> Pack:
        for model, net in self.nets.items():
            if net.file not in self.files:
                raise ValueError(f"{model} wants the file {net.file}, which [files] does not list")
        taken = {contract.ANALYZE, contract.VERIFY, DETECTOR, RECOGNIZER}
        for liveness in self.liveness.nets:
            if liveness.name in taken:
                raise ValueError(f"two models have the same name, {liveness.name}")
            taken.add(liveness.name)
        return self

    @property
    def nets(self) -> dict[str, Net]:
        """Every net by the name it is served under."""
        named: dict[str, Net] = {DETECTOR: self.detector, RECOGNIZER: self.recognizer}
        return named | {net.name: net for net in self.liveness.nets}


def load_pack(path: Path) -> Pack:
    """The pack in a TOML file. Raises PackError, in one line that names the file and each field at fault."""
    try:
        return Pack.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PackError(f"no pack at {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PackError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'pack'}: {e['msg']}" for e in error.errors())
        raise PackError(f"{path}: {faults}") from None
