"""The plain way: the face server that most people would build from the same weights.

OpenCV's FaceDetectorYN runs YuNet's published file on the whole picture at the picture's own size; the best face
counts. Crops are the pipeline's; the other published files run under ONNX Runtime's defaults, one face at a time.
Around it a plain gRPC server with one worker thread: two encoded pictures in, JSON out. Detection runs **twice** for
each picture, once to verify and once for liveness, as in servers that put a verification and a liveness check one after
the other; each picture is decoded once.

`python -m benchmarks.bench.plain` serves until its standard input ends, and says its port in its first line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import cv2
import grpc
import numpy as np

from benchmarks import ROOT
from benchmarks.bench.original_nets import Floats, Image, OriginalNets, decoded
from benchmarks.bench.peer import MESSAGE_BYTES, Pair, Verdict, raw_calls
from facegate.build.build import fetch_pack
from facegate.cli.options import DEFAULT_PACK
from facegate.errors import ServeError
from facegate.packs.shipped import pack_named
from facegate_ensemble.pack import Pack
from facegate_ensemble.pipeline.pyramid import ImagePyramid

SERVICE, METHOD = "plain.Faces", "Verify"


class PlainPipeline:
    """Two decoded pictures to a verdict."""

    def __init__(self, pack: Pack, files: Mapping[str, Path]) -> None:
        about = pack.detector
        self._detector = cv2.FaceDetectorYN.create(
            str(files[about.file]),
            "",
            (about.width, about.height),
            score_threshold=about.min_score,
            nms_threshold=about.nms_iou,
        )
        self._nets = OriginalNets(pack, files)

    def verify(self, images: list[Image]) -> Verdict:
        """Raises ValueError where a picture has no face."""
        pairs = [(image, ImagePyramid(image)) for image in images]
        embeddings = [self._nets.embedding(pyramid, self._best(image)[1]) for image, pyramid in pairs]
        probabilities = [self._nets.probabilities(pyramid, self._best(image)[0]) for image, pyramid in pairs]
        return self._nets.verdict(embeddings, probabilities)

    def _best(self, image: Image) -> tuple[Floats, Floats]:
        """The best face's box [4], x1 y1 x2 y2, and landmarks [5, 2]."""
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        faces = self._detector.detect(image)[1]  # rows: x y width height, five landmarks' x y, score
        if faces is None:
            raise ValueError("no face")
        best = faces[faces[:, 14].argmax()].astype(np.float32)
        return np.concatenate([best[:2], best[:2] + best[2:4]]), best[4:14].reshape(5, 2)


class PlainWay:
    """A plain server, asked over gRPC."""

    def __init__(self, call: Callable[[bytes], bytes]) -> None:
        self._call = call

    def prepared(self, pair: Pair) -> Callable[[], bytes]:
        """See Way."""
        first, second = pair
        message = len(first).to_bytes(4, "little") + first + second
        return lambda: self._call(message)

    def read(self, answer: bytes) -> Verdict:
        """See Way."""
        return Verdict.from_json(json.loads(answer))


@contextmanager
def plain_way() -> Iterator[PlainWay]:
    """A plain server as long as it is needed. Raises ServeError where it does not start."""
    command = [sys.executable, "-m", "benchmarks.bench.plain"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        port = process.stdout.readline().decode().strip()
        if not port:
            raise ServeError("the plain server did not start; its own messages are above")
        try:
            with raw_calls(f"127.0.0.1:{port}", f"/{SERVICE}/{METHOD}") as call:
                yield PlainWay(call)
        finally:
            process.stdin.close()


def main() -> None:
    """Serve."""
    pack = pack_named(DEFAULT_PACK)
    pipeline = PlainPipeline(pack, fetch_pack(pack))

    def verify(message: bytes, context: grpc.ServicerContext) -> bytes:
        end = 4 + int.from_bytes(message[:4], "little")
        verdict = pipeline.verify([decoded(message[4:end]), decoded(message[end:])])
        return json.dumps(asdict(verdict)).encode()

    limits = [("grpc.max_receive_message_length", MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(max_workers=1), options=limits)
    method = grpc.unary_unary_rpc_method_handler(verify)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
