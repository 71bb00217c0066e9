"""A model pack as the ensemble knows it: how each net is fed and read, and under which licence."""

from __future__ import annotations

import json
import re
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from facegate_client import contract

DETECTOR = "face_detector"
RECOGNIZER = "face_recognizer"

DETECTORS = re.compile(rf"{DETECTOR}(_\d+x\d+)?")
"""Names of the detector and of the one of the second look, face_detector_<height>x<width>. No other model may have one.
"""

SECOND_LOOK_CANDIDATES = 256
"""The most boxes that the detector of the second look returns. It looks for faces that fill the picture, of which there
are few; 1,024 boxes of 256 x 256 pixels take a tenth of its time on a CPU."""

STRIDES = (8, 16, 32)
"""Pixels from cell to cell in a detector's three outputs, both families'."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.onnx$")]
Listed = Strict(False)
"""For a tuple, which a TOML and JSON have as a list."""

NodeNames = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Listed]
Channels = Annotated[tuple[float, float, float], Listed]
Side = Annotated[int, Field(ge=16, le=4096)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A table of a pack: nothing unknown, no NaN, no infinity, no text or bool for a number, and it never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class KeepFp32(Section):
    """Names of nodes of the served graph that stay in FP32 where the rest of the net is built in `fp16`."""

    fp16: NodeNames = ()


class Net(Section):
    """What every net has: its file, its input size in pixels, and its normalisation (pixel - mean) / std.

    `keep_fp32` matters where it is built in another precision, and not to what the net is: no digest has it.
    """

    file: FileName
    height: Side
    width: Side
    colour: Literal["BGR", "RGB"]
    mean: Channels
    std: Channels
    max_batch: Annotated[int, Field(ge=1, le=256)]
    keep_fp32: KeepFp32 = KeepFp32()

    input_name: ClassVar[str] = contract.CROPS
    output_names: ClassVar[tuple[str, ...]] = (contract.PROBABILITIES,)

    @model_validator(mode="after")
    def _divisible(self) -> Net:
        if not all(self.std):
            raise ValueError("std has a zero, and pixels are divided by it")
        return self


class Detector(Net):
    """`head`, the family, names how raw outputs become boxes; `candidates` is K, the boxes a net returns before NMS.

    `second_look` is the input size, height and width in pixels, at which the detector runs again on an image in which
    it found no face: a face that fills the image is too large for `height` x `width`. None: it does not run again.
    """

    head: Literal["yunet", "scrfd"]
    candidates: Annotated[int, Field(ge=1, le=3840)]
    min_score: Probability
    nms_iou: Probability
    second_look: Annotated[tuple[Side, Side], Listed] | None = None

    input_name: ClassVar[str] = contract.IMAGES
    output_names: ClassVar[tuple[str, ...]] = (contract.BOXES, contract.SCORES, contract.LANDMARKS)

    @model_validator(mode="after")
    def _whole_cells(self) -> Detector:
        if self.height % STRIDES[-1] or self.width % STRIDES[-1]:
            raise ValueError(f"height and width must be multiples of {STRIDES[-1]}, not {self.height} and {self.width}")
        if self.second_look is not None:
            height, width = self.second_look
            if height % STRIDES[-1] or width % STRIDES[-1]:
                raise ValueError(f"second_look must be multiples of {STRIDES[-1]}, not {height} and {width}")
            if height >= self.height or width >= self.width:
                raise ValueError(
                    "second_look must be smaller than the detector's height and width, "
                    f"{self.height} and {self.width}, not {height} and {width}"
                )
        return self

    def of_size(self, height: int, width: int) -> Detector:
        """The same detector for pictures of `height` x `width` pixels, without a second look."""
        return self.model_copy(update={"height": height, "width": width, "second_look": None})


class Recognizer(Net):
    """`template`: where the five landmarks lie in the aligned crop, in its pixels; `threshold`: cosine distance."""

    dimension: Annotated[int, Field(ge=1, le=65536)]
    threshold: Annotated[float, Field(gt=0.0, le=2.0)]
    template: Annotated[tuple[Annotated[tuple[float, float], Listed], ...], Listed, Field(min_length=5, max_length=5)]

    input_name: ClassVar[str] = contract.FACES
    output_names: ClassVar[tuple[str, ...]] = (contract.EMBEDDINGS,)

    @model_validator(mode="after")
    def _template_in_the_crop(self) -> Recognizer:
        points = np.array(self.template)
        if not ((points >= 0) & (points < (self.width, self.height))).all():
            raise ValueError(f"template has a point outside the crop of {self.width} x {self.height} pixels")
        if np.ptp(points, axis=0).max() < 1:
            raise ValueError("template's five points coincide")
        return self


class LivenessNet(Net):
    """`crop_scale`: the side of the crop over the side of the face's box."""

    name: Name
    crop_scale: Annotated[float, Field(ge=1.0, le=16.0)]


class Liveness(Section):
    """The nets whose softmaxes are averaged, and when the mean says "real".

    Every net tells `classes` classes apart, of which `real_class`, counted from 0, is a live face.
    """

    min_real: Probability
    classes: Annotated[int, Field(ge=2, le=64)] = 3
    real_class: Annotated[int, Field(ge=0)] = 1
    nets: Annotated[tuple[LivenessNet, ...], Listed, Field(min_length=1)]

    @model_validator(mode="after")
    def _among_the_classes(self) -> Liveness:
        if self.real_class >= self.classes:
            raise ValueError(f"real_class {self.real_class} is none of {self.classes} classes, counted from 0")
        return self


class Pack(Section):
    """Everything that the ensemble knows about a set of nets. Without `liveness`, anti_spoofing is refused.

    `digest` names these nets fed and judged in this way: where it is equal, and the `precision` that the nets were
    built in is, answers are. `embedding_digest` names the recognizer alone: where it is equal, embeddings can be
    compared. All three are there once the pack is built.
    """

    name: Name
    description: str
    licence: str
    commercial_use: bool
    digest: str = ""
    embedding_digest: str = ""
    precision: Literal["fp32", "fp16"] = "fp32"
    detector: Detector
    recognizer: Recognizer
    liveness: Liveness | None = None

    @model_validator(mode="after")
    def _names_apart(self) -> Pack:
        taken = {contract.ANALYZE, contract.VERIFY, RECOGNIZER}
        for net in self.liveness_nets:
            if net.name in taken or DETECTORS.fullmatch(net.name):
                raise ValueError(
                    f"a liveness net is named {net.name}, and another model has the same name, or may have it: "
                    f"{DETECTOR}_<height>x<width> is the detector's second look"
                )
            taken.add(net.name)
        return self

    @property
    def liveness_nets(self) -> tuple[LivenessNet, ...]:
        """The nets that tell live faces from fakes; none where the pack has none."""
        return self.liveness.nets if self.liveness else ()

    @property
    def nets(self) -> dict[str, Net]:
        """Every net by the name it is served under."""
        named: dict[str, Net] = {**self.detectors, RECOGNIZER: self.recognizer}
        return named | {net.name: net for net in self.liveness_nets}

    @property
    def detectors(self) -> dict[str, Detector]:
        """The detector, and after it the one of the second look where there is one, by the names of their models."""
        size = self.detector.second_look
        if size is None:
            return {DETECTOR: self.detector}
        fewer = {"candidates": min(self.detector.candidates, SECOND_LOOK_CANDIDATES)}
        second = self.detector.of_size(*size).model_copy(update=fewer)
        return {DETECTOR: self.detector, f"{DETECTOR}_{size[0]}x{size[1]}": second}

    def metadata(self) -> str:
        """What every answer says of the nets behind it, a JSON object."""
        return json.dumps(
            {
                "pack": self.name,
                "licence": self.licence,
                "commercial_use": self.commercial_use,
                "digest": self.digest,
                "embedding_digest": self.embedding_digest,
                "precision": self.precision,
                "threshold": float(self.recognizer.threshold),
            }
        )
