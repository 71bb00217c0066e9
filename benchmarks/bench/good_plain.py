"""The good plain way: what a careful programmer gets out of the same published files in a short program.

All four nets under ONNX Runtime's defaults in the caller's own process, without a server; pictures letterboxed to the
detector's 640 x 640; YuNet's outputs decoded by whole arrays; one detection for each picture; the best face's crops as
the pipeline cuts them. One caller at a time, and ONNX Runtime has all cores for each net.

Or as many such processes side by side as there are cores, each with one thread for its nets: the most that such a
program answers. `python -m benchmarks.bench.good_plain` is one of them (the lines it answers are in piped.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

import cv2
import numpy as np

from benchmarks.bench.original_nets import Floats, OriginalNet, OriginalNets, decoded
from benchmarks.bench.peer import Pair, Said, Verdict
from benchmarks.bench.piped import PipedWay, piped
from facegate.build.build import fetch_pack
from facegate.cli.options import DEFAULT_PACK
from facegate.packs.shipped import pack_named
from facegate_ensemble.pack import STRIDES, Detector, Pack
from facegate_ensemble.pipeline.detection import Faces, select_faces
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.pyramid import ImagePyramid


class GoodPlainWay:
    """Not for several threads at a time. Its nets run on so many `threads`; 0 leaves their number to ONNX Runtime."""

    def __init__(self, pack: Pack, files: Mapping[str, Path], threads: int = 0) -> None:
        self._about = pack.detector
        self._detector = OriginalNet(pack.detector, files, threads)
        self._nets = OriginalNets(pack, files, threads)

    def prepared(self, pair: Pair) -> Callable[[], bytes]:
        """See Way."""
        return lambda: json.dumps(asdict(self.verify(pair))).encode()

    def read(self, answer: bytes) -> Verdict:
        """See Way."""
        return Verdict.from_json(json.loads(answer))

    def verify(self, pair: Pair) -> Verdict:
        """Raises ValueError where a picture has no face."""
        images = [ImagePyramid(decoded(data)) for data in pair]
        faces = [self._best(image) for image in images]
        pairs = list(zip(images, faces, strict=True))
        return self._nets.verdict(
            [self._nets.embedding(image, face.landmarks[0]) for image, face in pairs],
            [self._nets.probabilities(image, face.boxes[0]) for image, face in pairs],
        )

    def _best(self, image: ImagePyramid) -> Faces:
        about = self._about
        canvas, factor = letterbox(image, about.height, about.width)
        boxes, scores, landmarks = candidates(self._detector.run(canvas), about)
        limit, overlap = about.min_score, about.nms_iou
        faces = select_faces(boxes, scores, landmarks, factor=factor, min_score=limit, nms_iou=overlap, max_faces=1)
        if not len(faces):
            raise ValueError("no face")
        return faces


class GoodPlainWays:
    """Processes side by side, for as many callers."""

    def __init__(self, workers: Sequence[PipedWay]) -> None:
        self._workers = workers

    def prepared(self, pair: Pair) -> Callable[[], bytes]:
        """See Way."""
        idle: SimpleQueue[Callable[[], bytes]] = SimpleQueue()
        for worker in self._workers:
            idle.put(worker.prepared(pair))

        def call() -> bytes:
            ask = idle.get()
            try:
                return ask()
            finally:
                idle.put(ask)

        return call

    def read(self, answer: bytes) -> Said:
        """See Way."""
        return self._workers[0].read(answer)


@contextmanager
def good_plain_ways(count: int) -> Iterator[GoodPlainWays]:
    """So many processes, ready. Raises ServeError where one does not start."""
    command = [sys.executable, "-m", "benchmarks.bench.good_plain"]
    with ExitStack() as stack:
        yield GoodPlainWays([stack.enter_context(piped(command, "")) for _ in range(count)])


def candidates(raw: Mapping[str, Floats], about: Detector) -> tuple[Floats, Floats, Floats]:
    """YuNet's outputs as boxes [N, 4], scores [N], best first, and landmarks [N, 5, 2] in the detector's pixels, of the
    cells that reach the pack's score (the formula is in facegate/build/graphs/served.py)."""
    found = []
    for stride in STRIDES:
        product = np.clip(raw[f"cls_{stride}"], 0, 1) * np.clip(raw[f"obj_{stride}"], 0, 1)
        scores = np.sqrt(product).reshape(-1)
        cells = np.flatnonzero(scores >= about.min_score)
        rows, columns = np.divmod(cells, about.width // stride)
        corner = np.stack([columns, rows], axis=1).astype(np.float32)
        box = raw[f"bbox_{stride}"][0, cells]
        centre, half = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * (stride / 2)
        points = (raw[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + corner[:, None]) * stride
        found.append((np.concatenate([centre - half, centre + half], axis=1), scores[cells], points))
    boxes, scores, landmarks = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order], landmarks[order]


def main() -> None:
    """Answer until the input ends."""
    cv2.setNumThreads(1)
    pack = pack_named(DEFAULT_PACK)
    way = GoodPlainWay(pack, fetch_pack(pack), threads=1)
    sys.stdin.readline()
    print("{}", flush=True)
    judge: Callable[[], bytes] = bytes
    for line in sys.stdin:
        if line.strip():
            first, second = (Path(path).read_bytes() for path in json.loads(line))
            judge = way.prepared((first, second))
            print("{}", flush=True)
            continue
        try:
            print(judge().decode(), flush=True)
        except ValueError as error:
            print(json.dumps({"error": str(error)}), flush=True)


if __name__ == "__main__":
    main()
