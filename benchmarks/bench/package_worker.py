"""Runs inside the environment of the packages, and imports nothing of this project: one package, asked line by line.

The first line of standard input is a JSON object: `package`, `weights` (paths by file name) and what the package has
to be told of them. It is answered by a line: {} when the package is ready, or {"error": "..."}. Then a JSON array names
pictures, which are read and answered by {}, and an empty line has them judged, from their bytes on, or is answered by
an error like the one above.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

Judge = Callable[[list[Any]], dict[str, Any]]


def uniface(about: dict[str, Any]) -> Judge:
    """uniface with this project's weights: its SCRFD (det_500m.onnx, the very file that it would download), its
    MobileFace class with our MobileFaceNet and that net's mean and deviation, its two MiniFASNets. A face is real where
    both nets say so: uniface fuses nothing."""
    from uniface.constants import MiniFASNetWeights, MobileFaceWeights, SCRFDWeights
    from uniface.detection import scrfd
    from uniface.recognition import mobileface
    from uniface.recognition.base import PreprocessConfig
    from uniface.spoofing import minifasnet

    files = {
        SCRFDWeights.SCRFD_500M_KPS: "det_500m.onnx",
        MobileFaceWeights.MNET_V2: "MobileFaceNet.onnx",
        MiniFASNetWeights.V2: "MiniFASNetV2.onnx",
        MiniFASNetWeights.V1SE: "MiniFASNetV1SE.onnx",
    }
    for module in (scrfd, mobileface, minifasnet):  # where each would download from the web
        module.verify_model_weights = lambda name: about["weights"][files[name]]
    cpu = ["CPUExecutionProvider"]
    detector = scrfd.SCRFD(model_name=SCRFDWeights.SCRFD_500M_KPS, providers=cpu)
    fed = PreprocessConfig(input_mean=about["mean"], input_std=about["std"])
    recognizer = mobileface.MobileFace(preprocessing=fed, providers=cpu)
    spoofers = [minifasnet.MiniFASNet(model_name=each, providers=cpu) for each in MiniFASNetWeights]

    def judge(images: list[Any]) -> dict[str, Any]:
        faces = [max(detector.detect(image), key=lambda face: face.confidence) for image in images]
        pairs = list(zip(images, faces, strict=True))
        first, second = (recognizer.get_normalized_embedding(image, face.landmarks) for image, face in pairs)
        real = [all(spoofer.predict(image, face.bbox).is_real for spoofer in spoofers) for image, face in pairs]
        distance = 1 - float(first @ second)
        return {"verified": all(real) and distance < about["threshold"], "is_real": real, "distance": distance}

    return judge


def insightface(about: dict[str, Any]) -> Judge:
    """insightface's SCRFD with det_500m.onnx at 640 x 640: detection only, since the other weights of its packs are not
    to be had without the web."""
    from insightface.model_zoo import get_model

    detector = get_model(about["weights"]["det_500m.onnx"], providers=["CPUExecutionProvider"])
    detector.prepare(ctx_id=-1, input_size=(640, 640))
    return lambda images: {"faces": [len(detector.detect(image)[0]) for image in images]}


def main() -> None:
    """Answer until the input ends."""
    about = json.loads(sys.stdin.readline())
    said, sys.stdout = sys.stdout, sys.stderr  # what a package prints is no answer
    try:
        judge = {"uniface": uniface, "insightface": insightface}[about["package"]](about)
    except Exception as error:
        _answer(said, {"error": f"{type(error).__name__}: {error}"})
        return
    _answer(said, {})
    files: list[bytes] = []
    for line in sys.stdin:
        if line.strip():
            files = []
            for path in json.loads(line):
                with open(path, "rb") as file:
                    files.append(file.read())
            _answer(said, {})
            continue
        try:
            told = judge([cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in files])
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        _answer(said, told)


def _answer(to: Any, told: dict[str, Any]) -> None:
    print(json.dumps(told), file=to, flush=True)


if __name__ == "__main__":
    main()
