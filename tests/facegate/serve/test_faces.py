"""Faces as cameras give them, on a real server: many, at the border, too large, upside down, or not to be aligned."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from support.wire import TRANSPORTS, encoded, infer


def raw(image, suffix=""):
    shape = np.array(image.shape[:2], dtype=np.int32)
    return [(f"FRAME{suffix}", np.ascontiguousarray(image).reshape(-1)), (f"FRAME_SHAPE{suffix}", shape)]


def given(boxes, landmarks):
    """FACES_IN of boxes [N, 4] and landmarks [N, 5, 2]."""
    rows = np.concatenate([boxes, np.reshape(landmarks, (-1, 10))], axis=1)
    return "FACES_IN", np.frombuffer(rows.astype("<f4").tobytes(), np.uint8)


def sound(answer):
    """Whether every number of an answer is one, and every embedding of length one."""
    numbers = [values for name, values in answer.outputs.items() if name not in ("MODEL", "FACE_ERRORS")]
    lengths = np.linalg.norm(answer.outputs["EMBEDDINGS"], axis=1)
    return not answer.message and all(np.isfinite(values).all() for values in numbers) and np.allclose(lengths, 1)


@pytest.fixture(params=["in-process", "BLS"])
def ask(request):
    server = request.getfixturevalue("server" if request.param == "in-process" else "bls_server")
    return lambda model, tensors, **options: infer("grpc", server.grpc, model, tensors, **options)


@pytest.fixture
def portrait(samples):
    return cv2.imread(str(samples["image_T1.jpg"]))


def test_a_face_does_not_depend_on_what_else_is_in_the_request(ask, pictures):
    image = encoded("IMAGE", pictures / "detection/bald_guys.jpg")
    crowd = ask("face_analyze", [image], anti_spoofing=True).outputs
    assert len(crowd["BOXES"]) == 24
    for i in range(24):
        one = given(crowd["BOXES"][i : i + 1], crowd["LANDMARKS"][i : i + 1])
        alone = ask("face_analyze", [image, one], anti_spoofing=True).outputs
        assert np.array_equal(alone["BOXES"][0], crowd["BOXES"][i])
        assert alone["EMBEDDINGS"][0] @ crowd["EMBEDDINGS"][i] >= 0.9999
        assert abs(alone["ANTISPOOF_SCORE"][0] - crowd["ANTISPOOF_SCORE"][i]) <= 1e-3


def test_a_picture_is_detected_the_same_beside_any_other(ask, samples, pictures):
    box = ask("face_analyze", [encoded("IMAGE", samples["image_T1.jpg"])], max_faces=1).outputs["BOXES"][0]
    for other in (samples["image_F1.jpg"], pictures / "detection/t1.jpg"):
        pair = [encoded("IMAGE_1", samples["image_T1.jpg"]), encoded("IMAGE_2", other)]
        assert np.abs(ask("face_verify", pair).outputs["BOX_1"] - box).max() <= 1e-3


def test_of_two_faces_of_one_score_it_is_always_the_same_one(ask, portrait):
    """A detector sees the two halves alike; which one is compared must not change from call to call."""
    twins = np.hstack([portrait, portrait])
    verdicts = [ask("face_verify", raw(twins, "_1") + raw(portrait, "_2")).outputs for _ in range(5)]
    assert len({verdict["BOX_1"].tobytes() for verdict in verdicts}) == 1
    assert len({verdict["DISTANCE"].tobytes() for verdict in verdicts}) == 1


def test_a_face_upside_down_is_turned_by_its_landmarks(ask, portrait):
    upright = ask("face_analyze", raw(portrait)).outputs
    height, width = portrait.shape[:2]
    corner = np.array([width, height], dtype=np.float32)
    boxes = np.concatenate([corner - upright["BOXES"][:, 2:], corner - upright["BOXES"][:, :2]], axis=1)
    faces = given(boxes, corner - 1 - upright["LANDMARKS"])  # a pixel is where its middle is
    turned = ask("face_analyze", [*raw(cv2.rotate(portrait, cv2.ROTATE_180)), faces], anti_spoofing=True)
    assert sound(turned)
    assert turned.outputs["EMBEDDINGS"][0] @ upright["EMBEDDINGS"][0] >= 0.99
    assert sound(ask("face_analyze", raw(cv2.rotate(portrait, cv2.ROTATE_180)), anti_spoofing=True))


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom", "inside"])
def test_a_face_that_the_picture_cuts_is_described_as_far_as_it_is_there(ask, portrait, side):
    (box,) = ask("face_analyze", raw(portrait), max_faces=1).outputs["BOXES"]
    (landmarks,) = ask("face_analyze", raw(portrait), max_faces=1).outputs["LANDMARKS"]
    x1, y1, x2, y2 = box.astype(int)
    edges = {
        "left": (0, 0, (x1 + 2 * x2) // 3, None),
        "right": ((2 * x1 + x2) // 3, 0, None, None),
        "top": (0, (2 * y1 + y2) // 3, None, None),
        "bottom": (0, 0, None, (y1 + 2 * y2) // 3),
        "inside": (x1 + (x2 - x1) // 9, y1 + (y2 - y1) // 9, x2 - (x2 - x1) // 9, y2 - (y2 - y1) // 9),
    }
    left, top, right, bottom = edges[side]
    cut = portrait[top:bottom, left:right]
    assert sound(ask("face_analyze", raw(cut), anti_spoofing=True, min_score=0.1))
    shift = np.array([left, top], dtype=np.float32)
    faces = given((box.reshape(2, 2) - shift).reshape(1, 4), landmarks - shift)
    described = ask("face_analyze", [*raw(cut), faces], anti_spoofing=True)
    assert sound(described)
    assert len(described.outputs["BOXES"]) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_face_that_cannot_be_aligned_is_an_error_of_that_face_alone(server, samples, transport):
    image = encoded("IMAGE", samples["image_T1.jpg"])
    address = server.address(transport)
    found = infer(transport, address, "face_analyze", [image], anti_spoofing=True).outputs
    boxes, landmarks = np.repeat(found["BOXES"][:1], 3, axis=0), np.repeat(found["LANDMARKS"][:1], 3, axis=0)
    landmarks[1] = landmarks[1].mean(axis=0)
    tensors = [image, given(boxes, landmarks)]
    answer = infer(transport, address, "face_analyze", tensors, anti_spoofing=True).outputs
    errors = [error.decode() for error in answer["FACE_ERRORS"]]
    assert errors == ["", "INVALID_ARGUMENT: its landmarks coincide, and no crop can be aligned by them", ""]
    assert not answer["EMBEDDINGS"][1].any()
    assert np.allclose(answer["EMBEDDINGS"][[0, 2]], found["EMBEDDINGS"][0], atol=1e-5)
    assert np.allclose(answer["ANTISPOOF_SCORE"], found["ANTISPOOF_SCORE"][0], atol=1e-5)  # its box is as good as any

    unaligned = infer(transport, address, "face_analyze", tensors, embeddings=False, anti_spoofing=True).outputs
    assert "FACE_ERRORS" not in unaligned
    assert len(unaligned["IS_REAL"]) == 3


def test_it_is_an_error_of_the_face_in_json_too(server, samples):
    """Without the binary extension: an embedding that is not there must not break the answer's JSON."""
    import httpx

    image = cv2.imread(str(samples["image_T1.jpg"]))[::4, ::4]
    face = np.array([10, 10, 60, 60, *[30] * 10], dtype="<f4")
    request = {
        "inputs": [
            {"name": "FRAME", "datatype": "UINT8", "shape": [image.size], "data": image.reshape(-1).tolist()},
            {"name": "FRAME_SHAPE", "datatype": "INT32", "shape": [2], "data": list(image.shape[:2])},
            {"name": "FACES_IN", "datatype": "UINT8", "shape": [56], "data": list(face.tobytes())},
        ]
    }
    answer = httpx.post(f"http://{server.http}/v2/models/face_analyze/infer", json=request).json()
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    assert outputs["FACE_ERRORS"][0].startswith("INVALID_ARGUMENT: ")
    assert not any(outputs["EMBEDDINGS"])


@pytest.mark.parametrize("swap", ["landmarks of the photo", "box of the photo"])
def test_a_live_face_does_not_lend_its_liveness_to_a_photo_beside_it(ask, samples, swap):
    """Liveness is decided by the box, identity by the landmarks: given faces must be one face each."""
    live, photo = (cv2.imread(str(samples[name])) for name in ("image_T1.jpg", "image_F2.jpg"))
    height = max(len(live), len(photo))
    padded = [cv2.copyMakeBorder(image, 0, height - len(image), 0, 0, cv2.BORDER_REPLICATE) for image in (live, photo)]
    scene = raw(np.hstack(padded))
    found = ask("face_analyze", scene, anti_spoofing=True).outputs
    first, second = np.argsort(found["BOXES"][:, 0])[[0, -1]]
    assert (found["IS_REAL"][first], found["IS_REAL"][second]) == (True, False)
    boxes, landmarks = found["BOXES"][[first, second]], found["LANDMARKS"][[first, second]]
    kept = ask("face_analyze", [*scene, given(boxes, landmarks)], anti_spoofing=True).outputs
    assert kept["IS_REAL"].tolist() == [True, False]
    mixed = given(boxes[[0, 0]], landmarks) if swap.startswith("landmarks") else given(boxes[[0, 1]], landmarks[[0, 0]])
    refused = ask("face_analyze", [*scene, mixed], anti_spoofing=True)
    assert refused.message.startswith("INVALID_ARGUMENT: FACES_IN: face 1 ")
    assert not refused.outputs
