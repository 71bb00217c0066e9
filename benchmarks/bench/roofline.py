"""What this machine could answer at most: the nets and the decoding alone, each on all cores at its best.

A request cannot cost less than its decoding and its nets do. `Rates` has what each of them reaches alone, in plain
loops without a server, a queue, or crops around it; `Rates.requests` is the rate of requests that this leaves. The
pipeline's throughput over it is the pipeline's share of the roofline.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.bench.pictures import SIZES, Picture, picture
from benchmarks.bench.spread import spread
from facegate.build.build import build
from facegate.packs.shipped import pack_named
from facegate_client.imaging.image import decode
from facegate_ensemble.pack import DETECTOR, RECOGNIZER
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.runtime.cores import cores
from facegate_ensemble.runtime.onnx.session import CPU, graph_for

NETS = {DETECTOR: (1, 2), RECOGNIZER: (1, 2, 4, 8), "minifasnet_v2": (1, 2, 4, 8), "minifasnet_v1se": (1, 2, 4, 8)}
"""The rows a run that are tried, by net: larger batches are no faster on a CPU (`python -m benchmarks nets`)."""

MOST_ROWS = 4
"""Of a run in turn with others."""

TRY_SECONDS = 0.2
"""For each way that is tried, in each of TRY_ROUNDS: the best round of a way counts, since noise only slows."""

TRY_ROUNDS = 3

REPEATS = 5

Job = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Rates:
    """Items a second of the whole machine, each alone: images decoded, images searched, faces told by each net.

    Decoding a raw frame costs nothing: its rate is infinite.
    """

    decode: float
    detector: float
    recognizer: float
    minifasnet_v2: float
    minifasnet_v1se: float

    def requests(self, *, images: int, faces: int, liveness: bool) -> float:
        """Requests a second, each of `images` images with `faces` faces in each that the nets are asked about."""
        face = 1 / self.recognizer + (1 / self.minifasnet_v2 + 1 / self.minifasnet_v1se if liveness else 0)
        return 1 / (images * (1 / self.decode + 1 / self.detector + faces * face))


@dataclass(frozen=True, slots=True)
class Way:
    """A way to use the cores: a job for each of the Python threads side by side; one run of a job is `rows` items, and
    has `threads` threads to itself."""

    jobs: tuple[Job, ...]
    rows: int = 1
    threads: int = 1

    def rate(self, seconds: float) -> float:
        """Items a second."""
        return rate(self.jobs, self.rows, seconds)

    def __str__(self) -> str:
        return f"{len(self.jobs)} side by side, threads {self.threads}, rows {self.rows}"


class Roofline:
    """The nets of a repository under plain ONNX Runtime, and the decoding of a picture. The best way for each is found
    when it is made, for the nets of a repository once in a process."""

    def __init__(self, repository: Path, picture: Picture) -> None:
        self._repository = repository
        self._picture = picture
        self._nets = best_ways(repository)
        self._decode = best(_decoding(picture.data)) if picture.encoded else None

    @property
    def ways(self) -> dict[str, str]:
        """The best way of the decoding, where there is any, and of each net, in words."""
        decoding = {"decode": str(self._decode)} if self._decode else {}
        return {**decoding, **{net: str(way) for net, way in self._nets.items()}}

    def measure(self, seconds: float) -> Rates:
        """The rates now, one after another in `seconds` altogether. Call it while nothing else runs."""
        each = seconds / 5
        decoding = self._decode.rate(each) if self._decode else float("inf")
        return Rates(decoding, *(self._nets[net].rate(each) for net in NETS))

    def in_turn(self, seconds: float, *, images: int, faces: int, liveness: bool) -> float:
        """Requests a second of the same decoding and nets where each core does all of a request's, one after another.

        Alone, a net finds its weights in the caches; after a detector, which fills them, it does not. This is what is
        left of the roofline once that is paid, and still without crops, a server or a queue.
        """
        nets = turns(self._repository)
        jobs: list[Job] = [functools.partial(decode, self._picture.data)] if self._picture.encoded else []
        jobs = images * [*jobs, nets[DETECTOR, 1]]
        asked = [net for net in NETS if net != DETECTOR][: None if liveness else 1]
        jobs += [nets[net, min(left, MOST_ROWS)] for net in asked for left in range(images * faces, 0, -MOST_ROWS)]

        def one() -> None:
            for each in jobs:
                each()

        return rate((one,) * cores(), 1, seconds)


@functools.cache
def best_ways(repository: Path) -> dict[str, Way]:
    """The best way found for each net."""
    image = decode(picture("640x480", 1).data)
    return {net: best(_running(graph(repository, net), image, rows)) for net, rows in NETS.items()}


@functools.cache
def turns(repository: Path) -> dict[tuple[str, int], Job]:
    """A run of each net on a thread, by its rows."""
    image = decode(picture("640x480", 1).data)
    opened = {net: session(graph(repository, net), 1) for net in NETS}
    return {
        (net, rows): job(each, batch_of(image, each, rows))
        for net, each in opened.items()
        for rows in range(1, MOST_ROWS + 1)
    }


def graph(repository: Path, net: str) -> Path:
    """The graph that the server runs on a CPU."""
    return graph_for(repository / net / "1", CPU)


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A graph under plain ONNX Runtime on so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def batch_of(image: NDArray[np.uint8], opened: onnxruntime.InferenceSession, rows: int) -> NDArray[np.uint8]:
    """UINT8 [rows, H, W, 3]: the image scaled to what a served graph takes."""
    height, width = opened.get_inputs()[0].shape[1:3]
    return np.repeat(letterbox(image, height, width)[0][None], rows, axis=0)


def job(opened: onnxruntime.InferenceSession, batch: NDArray[Any]) -> Job:
    """One run of a session, from its only input to all its outputs."""
    return functools.partial(opened.run, None, {opened.get_inputs()[0].name: batch})


def thread_counts() -> list[int]:
    """1, 2, 4, … and all cores."""
    return sorted({min(1 << power, cores()) for power in range(cores().bit_length() + 1)})


def rate(jobs: Sequence[Job], items: int, seconds: float) -> float:
    """Items a second of jobs that are repeated side by side for `seconds`, each by a thread of its own.

    A run of a job is `items` items. Each job is run once before the time begins.
    """

    def repeat(one: Job) -> float:
        runs, start = 0, time.perf_counter()
        while (now := time.perf_counter()) < start + seconds or not runs:
            one()
            runs += 1
        return runs * items / (now - start)

    for one in jobs:
        one()
    with ThreadPoolExecutor(len(jobs)) as threads:
        return sum(threads.map(repeat, jobs))


def measure(quick: bool) -> list[dict[str, Any]]:
    """Rows of two kinds, for each size of JPEG: `alone`, the rate of the decoding or of a net by itself, and
    `requests`, requests a second at most by model, faces in an image, and liveness on or off."""
    repository = build(pack_named("mobileface"), say=lambda _: None)
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        roofline = Roofline(repository, picture(size, 1))
        measured = [roofline.measure(1.0 if quick else 5.0) for _ in range(REPEATS)]
        for name, way in zip(asdict(measured[0]), roofline.ways.values(), strict=True):
            rates = spread([asdict(each)[name] for each in measured])
            rows.append({"kind": "alone", "size": size, "of": name, "way": way, "items_per_s": asdict(rates)})
        for model, images, faces in (("analyze", 1, 1), ("analyze", 1, 6), ("verify", 2, 1)):
            for liveness in (False, True):
                most = spread([each.requests(images=images, faces=faces, liveness=liveness) for each in measured])
                case = {"kind": "requests", "size": size, "model": model, "faces": faces, "liveness": liveness}
                rows.append({**case, "requests_per_s": asdict(most)})
    return rows


def _running(path: Path, image: NDArray[np.uint8], rows: Sequence[int]) -> Iterator[Way]:
    """The ways that are tried for a served graph: sessions on all cores, each with its part of them."""
    for threads in thread_counts():
        opened = [session(path, threads) for _ in range(cores() // threads)]
        for count in rows:
            yield Way(tuple(job(each, batch_of(image, each, count)) for each in opened), count, threads)


def _decoding(data: bytes) -> Iterator[Way]:
    for threads in range(1, cores() + 1):
        yield Way((functools.partial(decode, data),) * threads)


def best(ways: Iterator[Way]) -> Way:
    """The fastest, by its best round."""
    tried = list(ways)
    rates = [[way.rate(TRY_SECONDS) for way in tried] for _ in range(TRY_ROUNDS)]
    highest = [max(each) for each in zip(*rates, strict=True)]
    return tried[highest.index(max(highest))]
