"""Images of bug reports on Triton's wires: a file is answered as its pixels are, or refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from support.exact_images import portrait_files, reported_images
from support.wire import TRANSPORTS, encoded, infer, refused

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture
def analyze(server, transport):
    return lambda *tensors: infer(transport, server.address(transport), "face_analyze", tensors, anti_spoofing=True)


@pytest.mark.parametrize("name", ["rgbx.bmp", "exif6.jpg", "grey16_trns.png"])
def test_a_portrait_is_answered_as_its_pixels_are(analyze, samples, name):
    file, pixels = portrait_files(cv2.imread(str(samples["image_T1.jpg"]))[::2, ::2])[name]
    shape = np.array(pixels.shape[:2], np.int32)
    expected = analyze(("FRAME", pixels.reshape(-1)), ("FRAME_SHAPE", shape)).outputs
    got = analyze(encoded("IMAGE", file)).outputs
    assert len(expected["BOXES"]) == 1
    assert all(np.array_equal(got[output], expected[output]) for output in expected)


def test_each_reported_image_is_answered_or_refused(analyze, transport):
    for name, (file, pixels) in reported_images().items():
        answer = analyze(encoded("IMAGE", file))
        if pixels is None:
            assert refused(answer, transport, "INVALID_ARGUMENT"), name
        else:
            assert answer.outputs["BOXES"].shape == (0, 4), name
