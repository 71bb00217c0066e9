"""What a smaller detector, and JPEGs decoded at half their size, cost and save: `python -m benchmarks sizes`.

Each is a bucket, held against the default, a detector of 640x640 and whole decoding, on the labelled pictures of
FACEGATE_MIRROR/images. Half the size is tried in this benchmark alone: the server decodes whole pictures.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from benchmarks.bench.halving import DETECTOR_SIDE, half, half_unless_enlarged, halved, whole
from benchmarks.bench.labelled import Pair, Photo, Seen, compared, labelled_pairs, labelled_photos
from benchmarks.bench.pictures import picture
from benchmarks.bench.roofline import rate
from benchmarks.bench.spread import spread
from facegate.build.build import Built, build_served
from facegate.build.target import Size
from facegate.cli.console import say
from facegate.cli.options import DEFAULT_PACK
from facegate.packs.shipped import pack_named
from facegate_ensemble.pack import DETECTOR
from facegate_ensemble.pipeline.pipeline import Analysis, Pipeline
from facegate_ensemble.runtime.cores import cores
from facegate_ensemble.runtime.in_process import InProcessInferer
from facegate_ensemble.runtime.onnx.session import CPU, OnnxSession, graph_for

DEFAULT = (DETECTOR_SIDE, DETECTOR_SIDE)
ALL = "all"
DETECTORS: dict[Size, str] = {
    (480, 640): "4:3 or wider",
    (640, 480): "3:4 or narrower",
    (384, 640): "5:3 or wider",
    (320, 320): ALL,
}
"""Height and width, and the photos that a detector is for: those that it reads at the default's scale, with less black
beside them."""

TIMED = ("640x480", "3MP")

Row = dict[str, Any]
Analyze = Callable[[bytes], Analysis]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A way to analyze a file, with liveness and embeddings, and the photos it is for: `which` in words."""

    name: str
    which: str
    suits: Callable[[Photo], bool]
    analyze: Analyze


def measure(quick: bool) -> list[Row]:
    """Rows of two kinds: `gate`, a bucket's answers against the default's, on all photos and on those it is for;
    `ratio`, its images a second over the default's, in turns, with one thread. A short run times less, and judges all.

    Raises FileNotFoundError without the labelled pictures.
    """
    folder = Path(os.environ.get("FACEGATE_MIRROR", "")) / "images"
    if not folder.is_dir():
        raise FileNotFoundError("the labelled pictures are not here: set FACEGATE_MIRROR to a directory with images/")
    rows: list[Row] = []
    with _one_thread():
        pipelines = _pipelines()
        default, threshold = partial(whole, pipelines[DEFAULT]), pipelines[DEFAULT].pack.recognizer.threshold
        photos, pairs = labelled_photos(folder), labelled_pairs(folder)
        expected = {photo.name: default(photo.data) for photo in photos}
        tried = buckets(pipelines)
        for bucket in tried:
            say(f"sizes: {bucket.name}")
            found = {photo.name: bucket.analyze(photo.data) for photo in photos}
            rows += gates(bucket, photos, pairs, expected, found, threshold)
        for size in TIMED:
            rows += _ratios(tried, default, size, *((3, 0.1) if quick else (9, 0.4)))
    return rows


def buckets(pipelines: Mapping[Size, Pipeline]) -> list[Bucket]:
    """All of them; a pipeline for each size of detector."""
    usual, large = pipelines[DEFAULT], f"JPEGs of {2 * DETECTOR_SIDE} pixels or more"
    smaller = [
        Bucket(
            f"detector {size[0]}x{size[1]}",
            which,
            _for_all if which == ALL else partial(_at_scale, size),
            partial(whole, pipelines[size]),
        )
        for size, which in DETECTORS.items()
    ]
    return [
        *smaller,
        Bucket("half decoding", large, _can_be_halved, partial(half, usual)),
        Bucket("half decoding, whole for small faces", large, _can_be_halved, partial(half_unless_enlarged, usual)),
    ]


def gates(
    bucket: Bucket, photos: Sequence[Photo], pairs: Sequence[Pair], default: Seen, found: Seen, threshold: float
) -> Iterator[Row]:
    """On all photos, and on those the bucket is for, where it takes these alone and the default takes the others."""
    suited = [photo for photo in photos if bucket.suits(photo)]
    names = {photo.name for photo in suited}
    own = {**default, **{name: found[name] for name in names}}
    touched = [pair for pair in pairs if {pair.first, pair.second} & names]
    yield {"kind": "gate", "bucket": bucket.name, "on": ALL, **compared(photos, pairs, default, found, threshold)}
    if bucket.which != ALL:
        figures = compared(suited, touched, default, own, threshold)
        yield {"kind": "gate", "bucket": bucket.name, "on": bucket.which, **figures}


def _ratios(tried: Sequence[Bucket], default: Analyze, size: str, rounds: int, seconds: float) -> Iterator[Row]:
    """In every round the default takes its turn before each bucket."""
    timed = picture(size, 1)
    usual: dict[str, list[float]] = {bucket.name: [] for bucket in tried}
    own: dict[str, list[float]] = {bucket.name: [] for bucket in tried}
    for _ in range(rounds):
        for bucket in tried:
            usual[bucket.name].append(rate([partial(default, timed.data)], 1, seconds))
            own[bucket.name].append(rate([partial(bucket.analyze, timed.data)], 1, seconds))
    for name, rates in own.items():
        yield {
            "kind": "ratio",
            "of": "images/s over the default's",
            "bucket": name,
            "picture": timed.name,
            "ratio": asdict(spread([a / b for a, b in zip(rates, usual[name], strict=True)])),
            "images_per_s": asdict(spread(rates)),
            "default_images_per_s": asdict(spread(usual[name])),
        }


def _pipelines() -> dict[Size, Pipeline]:
    """One for each size of the detector, with one thread; the other nets are shared."""
    built = {size: build_served(pack_named(DEFAULT_PACK), size=size) for size in (DEFAULT, *DETECTORS)}
    usual = built[DEFAULT]
    nets = {net: _session(usual, net) for net in usual.pack.nets if net != DETECTOR}
    return {
        size: Pipeline(each.pack, InProcessInferer({**nets, DETECTOR: _session(each, DETECTOR)}, lanes=1))
        for size, each in built.items()
    }


def _session(built: Built, net: str) -> OnnxSession:
    """A net with one thread: one lane for each core."""
    graph = graph_for(built.repository / net / "1", CPU)
    return OnnxSession(graph, built.pack.nets[net].max_batch, at_a_time=cores())


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV without threads of its own, as in the server."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _for_all(photo: Photo) -> bool:
    return True


def _at_scale(size: Size, photo: Photo) -> bool:
    factors = (min(each[0] / photo.height, each[1] / photo.width) for each in (size, DEFAULT))
    return math.isclose(*factors)


def _can_be_halved(photo: Photo) -> bool:
    return halved(photo.data) is not None
