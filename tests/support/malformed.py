"""Requests that are wrong in what a careful client library would never let through."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

SIZES = {"BOOL": 1, "UINT8": 1, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8, "FP16": 2, "FP32": 4, "FP64": 8}
DIMENSIONS = (0, -1, -(2**63), 1, 2, 3, 7, 12, 2**31, 2**32, 2**62, 2**63 - 1)

ENSEMBLE = {
    "face_analyze": (("IMAGE", "BYTES"), ("FRAME", "UINT8"), ("FRAME_SHAPE", "INT32"), ("FACES_IN", "UINT8")),
    "face_verify": tuple(
        (f"{name}_{i}", kind)
        for i in (1, 2)
        for name, kind in (("IMAGE", "BYTES"), ("FRAME", "UINT8"), ("FRAME_SHAPE", "INT32"))
    ),
}
NETS = {
    "face_detector": (("IMAGES", "UINT8"),),
    "face_recognizer": (("FACES", "UINT8"),),
    "minifasnet_v2": (("CROPS", "UINT8"),),
    "minifasnet_v1se": (("CROPS", "UINT8"),),
}
MODELS = {**ENSEMBLE, **NETS}


@dataclass(frozen=True)
class Tensor:
    """One input as it stands on the wire, whether or not its shape, dtype and bytes agree."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    content: bytes = field(repr=False)


def malformed_requests(count: int, seed: int) -> Iterator[tuple[str, list[Tensor]]]:
    """`count` requests, each wrong in at least one way; the same ones for the same seed."""
    chance = random.Random(seed)
    for number in range(count):
        model = list(MODELS)[number % len(MODELS)]
        kind = FAULTS[(number // len(MODELS)) % len(FAULTS)]
        yield model, kind(chance, list(MODELS[model]))


def _tensor(chance: random.Random, name: str, dtype: str, shape: tuple[int, ...] | None = None) -> Tensor:
    shape = (12,) if shape is None else shape
    return Tensor(name, dtype, shape, bytes(chance.choice((0, 1, 12, 48, 100))))


def _wild_shape(chance: random.Random, inputs: list[tuple[str, str]]) -> list[Tensor]:
    """Zero, negative, overflowing dimensions and ranks that nobody asked for."""
    tensors = []
    for name, dtype in inputs[: chance.randint(1, len(inputs))]:
        shape = tuple(chance.choice(DIMENSIONS) for _ in range(chance.randint(0, 5)))
        tensors.append(_tensor(chance, name, dtype, shape))
    return tensors


def _wrong_dtype(chance: random.Random, inputs: list[tuple[str, str]]) -> list[Tensor]:
    name, right = chance.choice(inputs)
    wrong = chance.choice([dtype for dtype in (*SIZES, "BYTES", "BF16", "", "NONSENSE") if dtype != right])
    return [_tensor(chance, name, wrong)]


def _missing(chance: random.Random, inputs: list[tuple[str, str]]) -> list[Tensor]:
    return []


def _doubled(chance: random.Random, inputs: list[tuple[str, str]]) -> list[Tensor]:
    return [_tensor(chance, *inputs[0], (1,))] * 2 + [_tensor(chance, *each, (12,)) for each in inputs[1:2]]


def _unknown(chance: random.Random, inputs: list[tuple[str, str]]) -> list[Tensor]:
    name = chance.choice(("", "image", "IMAGE_3", "../../etc/passwd", "X" * 5000, "\u202e", "IMAGE\n"))
    return [_tensor(chance, name, chance.choice(list(SIZES)))]


def _content(chance: random.Random, inputs: list[tuple[str, str]]) -> list[Tensor]:
    """Shapes that may be right with bytes that are not of them."""
    tensors = []
    for name, dtype in inputs[: chance.randint(1, len(inputs))]:
        content = chance.choice((b"", b"\xff" * 3, b"\xff" * 4, b"\xff\xff\xff\x7fabc", b"\x05\0\0\0abc"))
        tensors.append(Tensor(name, dtype, (chance.choice((1, 2, 3, 4)),), content))
    return tensors


def _huge_batch(chance: random.Random, inputs: list[tuple[str, str]]) -> list[Tensor]:
    """Right but for a batch, or a number of bytes, whose product with the rest may overflow to the content's size."""
    name, dtype = inputs[0]
    sides = {"IMAGES": (640, 640, 3), "FACES": (112, 112, 3), "CROPS": (80, 80, 3)}.get(name, ())
    batch = chance.choice([side for side in DIMENSIONS if not 0 < side < 2**31])
    return [Tensor(name, dtype, (batch, *sides), bytes(chance.choice((0, 12, 80 * 80 * 3))))]


FAULTS = (_wild_shape, _huge_batch, _wrong_dtype, _missing, _doubled, _unknown, _content, _wild_shape)
