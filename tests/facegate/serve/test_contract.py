"""The wire contract on a real server with real weights: what a plain tritonclient gets."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from support.serving import serving
from support.wire import TRANSPORTS, encoded, infer, refused

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


def frame(image: np.ndarray, suffix: str = "") -> list[tuple[str, np.ndarray]]:
    shape = np.array(image.shape[:2], dtype=np.int32)
    return [(f"FRAME{suffix}", image.reshape(-1)), (f"FRAME_SHAPE{suffix}", shape)]


@pytest.fixture(scope="module")
def bls_server_without_liveness(repository, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("bls") / "log", "--inferer", "bls", "--without-liveness") as running:
        yield running


@pytest.fixture
def ask(server, transport):
    return lambda model, tensors, **options: infer(transport, server.address(transport), model, tensors, **options)


def test_all_faces_of_an_image_with_names_dtypes_and_shapes(ask, pictures):
    answer = ask("face_analyze", [encoded("IMAGE", pictures / "detection/t1.jpg")], anti_spoofing=True)
    assert {name: (str(value.dtype), value.shape) for name, value in answer.outputs.items()} == {
        "BOXES": ("float32", (6, 4)),
        "SCORES": ("float32", (6,)),
        "LANDMARKS": ("float32", (6, 5, 2)),
        "EMBEDDINGS": ("float32", (6, 128)),
        "IS_REAL": ("bool", (6,)),
        "ANTISPOOF_SCORE": ("float32", (6,)),
        "MODEL": ("object", (1,)),
    }
    assert np.all(np.diff(answer.outputs["SCORES"]) <= 0)
    assert np.allclose(np.linalg.norm(answer.outputs["EMBEDDINGS"], axis=1), 1, atol=1e-5)


def test_liveness_that_was_not_asked_for_is_absent(ask, samples):
    answer = ask("face_analyze", [encoded("IMAGE", samples["image_T1.jpg"])])
    assert set(answer.outputs) == {"BOXES", "SCORES", "LANDMARKS", "EMBEDDINGS", "MODEL"}
    answer = ask("face_verify", [encoded(f"IMAGE_{i}", samples["image_T1.jpg"]) for i in (1, 2)])
    assert not [name for name in answer.outputs if name.startswith(("IS_REAL", "ANTISPOOF"))]


def test_both_off_means_detection_only(ask, samples):
    answer = ask("face_analyze", [encoded("IMAGE", samples["image_T1.jpg"])], embeddings=False)
    assert set(answer.outputs) == {"BOXES", "SCORES", "LANDMARKS", "MODEL"}


@pytest.mark.parametrize("several_faces", ["best", "largest"])
def test_one_face_of_several_with_their_number(ask, pictures, several_faces):
    image = encoded("IMAGE", pictures / "detection/t1.jpg")
    answer = ask("face_analyze", [image], anti_spoofing=True, several_faces=several_faces)
    assert {name: (str(value.dtype), value.shape) for name, value in answer.outputs.items()} == {
        "BOXES": ("float32", (1, 4)),
        "SCORES": ("float32", (1,)),
        "LANDMARKS": ("float32", (1, 5, 2)),
        "EMBEDDINGS": ("float32", (1, 128)),
        "IS_REAL": ("bool", (1,)),
        "ANTISPOOF_SCORE": ("float32", (1,)),
        "FACE_COUNT": ("int32", (1,)),
        "MODEL": ("object", (1,)),
    }
    assert answer.outputs["FACE_COUNT"][0] == 6


def test_no_face_is_an_answer_with_no_rows(ask):
    answer = ask("face_analyze", frame(np.zeros((48, 64, 3), np.uint8)), anti_spoofing=True)
    assert {name: value.shape for name, value in answer.outputs.items()} == {
        "BOXES": (0, 4),
        "SCORES": (0,),
        "LANDMARKS": (0, 5, 2),
        "EMBEDDINGS": (0, 128),
        "IS_REAL": (0,),
        "ANTISPOOF_SCORE": (0,),
        "MODEL": (1,),
    }


def test_a_raw_frame_and_its_png_are_the_same_to_it(ask, samples):
    image = cv2.imread(str(samples["image_T1.jpg"]))
    raw = ask("face_analyze", frame(image), anti_spoofing=True).outputs
    png = ask("face_analyze", [encoded("IMAGE", cv2.imencode(".png", image)[1].tobytes())], anti_spoofing=True).outputs
    assert all(np.array_equal(raw[name], png[name]) for name in raw)


def test_given_faces_are_described_and_not_detected(ask, samples):
    image = encoded("IMAGE", samples["image_T1.jpg"])
    found = ask("face_analyze", [image], anti_spoofing=True).outputs
    faces = np.concatenate([found["BOXES"], found["LANDMARKS"].reshape(-1, 10)], axis=1)
    faces = np.concatenate([faces, faces])
    given = np.frombuffer(faces.astype("<f4").tobytes(), np.uint8)
    answer = ask("face_analyze", [image, ("FACES_IN", given)], anti_spoofing=True).outputs
    assert np.array_equal(answer["BOXES"], faces[:, :4])
    assert np.allclose(answer["EMBEDDINGS"], found["EMBEDDINGS"], atol=1e-5)
    assert np.allclose(answer["ANTISPOOF_SCORE"], found["ANTISPOOF_SCORE"], atol=1e-5)


def test_no_given_faces_are_no_faces(ask, samples):
    answer = ask("face_analyze", [encoded("IMAGE", samples["image_T1.jpg"]), ("FACES_IN", np.empty(0, np.uint8))])
    assert answer.outputs["BOXES"].shape == (0, 4)


def test_a_verdict_with_names_dtypes_and_shapes(ask, samples):
    answer = ask("face_verify", [encoded(f"IMAGE_{i}", samples["image_T1.jpg"]) for i in (1, 2)], anti_spoofing=True)
    assert {name: (str(value.dtype), value.shape) for name, value in answer.outputs.items()} == {
        **dict.fromkeys(("VERIFIED", "IS_REAL_1", "IS_REAL_2"), ("bool", (1,))),
        **dict.fromkeys(("DISTANCE", "THRESHOLD", "CONFIDENCE", "PROCESSING_TIME_MS"), ("float32", (1,))),
        **dict.fromkeys(("ANTISPOOF_SCORE_1", "ANTISPOOF_SCORE_2"), ("float32", (1,))),
        **dict.fromkeys(("BOX_1", "BOX_2"), ("float32", (4,))),
        **dict.fromkeys(("FACE_COUNT_1", "FACE_COUNT_2"), ("int32", (1,))),
        "MODEL": ("object", (1,)),
    }


def test_verified_without_liveness_and_vetoed_with_it(ask, samples):
    """The spoof is a photo of a photo of the same person: recognition alone lets it pass."""
    pair = [encoded("IMAGE_1", samples["image_T1.jpg"]), encoded("IMAGE_2", samples["image_F2.jpg"])]
    unchecked, checked = ask("face_verify", pair).outputs, ask("face_verify", pair, anti_spoofing=True).outputs
    assert unchecked["VERIFIED"][0]
    assert not checked["VERIFIED"][0]
    assert checked["DISTANCE"] == unchecked["DISTANCE"]
    assert (checked["IS_REAL_1"][0], checked["IS_REAL_2"][0]) == (True, False)


def test_a_spoof_is_vetoed_even_against_itself(ask, samples):
    answer = ask("face_verify", [encoded(f"IMAGE_{i}", samples["image_F2.jpg"]) for i in (1, 2)], anti_spoofing=True)
    assert not answer.outputs["VERIFIED"][0]
    assert answer.outputs["DISTANCE"][0] == pytest.approx(0, abs=1e-5)
    assert answer.outputs["CONFIDENCE"][0] == pytest.approx(100, abs=1e-2)


def test_the_threshold_is_the_callers_or_the_packs(ask, samples, pack):
    pair = [encoded("IMAGE_1", samples["image_T1.jpg"]), encoded("IMAGE_2", samples["image_F2.jpg"])]
    assert ask("face_verify", pair).outputs["THRESHOLD"][0] == pytest.approx(pack.recognizer.threshold)
    strict = ask("face_verify", pair, threshold=0.25).outputs
    assert (strict["VERIFIED"][0], strict["THRESHOLD"][0], strict["CONFIDENCE"][0]) == (False, 0.25, 0.0)
    assert ask("face_verify", pair, threshold=1).outputs["VERIFIED"][0]  # an int for a double


def test_no_face_to_verify_names_the_image(ask, samples, transport):
    face, black = encoded("IMAGE_1", samples["image_T1.jpg"]), frame(np.zeros((64, 64, 3), np.uint8), "_2")
    answer = ask("face_verify", [face, *black], anti_spoofing=True)
    assert refused(answer, transport, "NOT_FOUND")
    assert "no face in image 2" in answer.message


BAD_IMAGES = {
    "empty": b"",
    "not an image": b"hello, this is no picture at all",
    "a GIF": b"GIF89a" + bytes(100),
    "truncated": None,
    "over 10 MiB": b"\xff\xd8\xff\xe0" + bytes(10 * 1024 * 1024),
    "over 40 megapixels": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    + (30000).to_bytes(4, "big") * 2
    + b"\x08\x02\0\0\0"
    + bytes(4),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_what_is_no_picture_is_refused(ask, samples, transport, kind):
    data = BAD_IMAGES[kind]
    data = samples["image_T1.jpg"].read_bytes()[:20000] if data is None else data
    assert refused(ask("face_analyze", [encoded("IMAGE", data)]), transport, "INVALID_ARGUMENT")


def test_the_bad_one_of_two_pictures_is_named(ask, samples, transport):
    answer = ask("face_verify", [encoded("IMAGE_1", samples["image_T1.jpg"]), encoded("IMAGE_2", b"nonsense")])
    assert refused(answer, transport, "INVALID_ARGUMENT")
    assert "IMAGE_2" in answer.message


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0), (-4, 4), (4, 5), (2**31 - 1, 2**31 - 1), (65536, 65536)])
def test_a_frame_that_is_not_of_its_shape_is_refused(ask, transport, height, width):
    shape = np.array([height, width], np.int32)
    answer = ask("face_analyze", [("FRAME", np.zeros(48, np.uint8)), ("FRAME_SHAPE", shape)])
    assert refused(answer, transport, "INVALID_ARGUMENT")


def test_both_pictures_or_none_are_refused(ask, samples, transport):
    image, pixels = encoded("IMAGE", samples["image_T1.jpg"]), frame(np.zeros((8, 8, 3), np.uint8))
    for tensors in ([image, *pixels], pixels[:1], pixels[1:], [image, pixels[1]]):
        assert refused(ask("face_analyze", tensors), transport, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("face_analyze", {"antispoofing": True}),
        ("face_analyze", {"anti_spoofing": 1}),
        ("face_analyze", {"anti_spoofing": "true"}),
        ("face_analyze", {"embeddings": 0}),
        ("face_analyze", {"min_score": 1.5}),
        ("face_analyze", {"min_score": "high"}),
        ("face_analyze", {"max_faces": 0}),
        ("face_analyze", {"max_faces": 2.5}),
        ("face_analyze", {"threshold": 0.5}),
        ("face_analyze", {"several_faces": "first"}),
        ("face_analyze", {"several_faces": ""}),
        ("face_analyze", {"several_faces": 1}),
        ("face_analyze", {"several_faces": True}),
        ("face_verify", {"several_faces": "BEST"}),
        ("face_verify", {"several_faces": 1.0}),
        ("face_verify", {"threshold": 0.0}),
        ("face_verify", {"threshold": 2.5}),
        ("face_verify", {"threshold": -1}),
        ("face_verify", {"threshold": True}),
    ],
)
def test_a_wrong_parameter_is_refused(ask, samples, transport, model, parameters):
    names = ("IMAGE",) if model == "face_analyze" else ("IMAGE_1", "IMAGE_2")
    answer = ask(model, [encoded(name, samples["image_T1.jpg"]) for name in names], **parameters)
    assert refused(answer, transport, "INVALID_ARGUMENT")


def test_parameters_that_are_not_numbers_are_refused(ask, samples, transport):
    pair = [encoded(f"IMAGE_{i}", samples["image_T1.jpg"]) for i in (1, 2)]
    for value in (float("nan"), float("inf")):
        assert refused(ask("face_verify", pair, threshold=value), transport, "INVALID_ARGUMENT")


def test_without_the_liveness_nets_asking_for_them_is_an_error_with_the_remedy(
    server_without_liveness, samples, transport
):
    where = server_without_liveness.address(transport)
    pair = [encoded(f"IMAGE_{i}", samples["image_T1.jpg"]) for i in (1, 2)]
    black = frame(np.zeros((8, 8, 3), np.uint8))
    for model, tensors in (("face_verify", pair), ("face_analyze", black)):
        answer = infer(transport, where, model, tensors, anti_spoofing=True)
        assert refused(answer, transport, "FAILED_PRECONDITION")
        assert "facegate serve" in answer.message
    assert infer(transport, where, "face_verify", pair).outputs["VERIFIED"][0]


def test_naming_outputs_filters_them_and_changes_nothing_else(ask, samples):
    image = encoded("IMAGE", samples["image_T1.jpg"])
    everything = ask("face_analyze", [image], anti_spoofing=True).outputs
    some = ask("face_analyze", [image], only=("BOXES", "IS_REAL"), anti_spoofing=True).outputs
    assert set(some) == {"BOXES", "IS_REAL"}
    assert all(np.array_equal(some[name], everything[name]) for name in some)
    assert set(ask("face_analyze", [image], only=("BOXES", "IS_REAL")).outputs) == {"BOXES"}


def test_asked_by_bls_absent_liveness_nets_are_the_same_error(bls_server_without_liveness, samples, transport):
    where = bls_server_without_liveness.address(transport)
    pair = [encoded(f"IMAGE_{i}", samples["image_T1.jpg"]) for i in (1, 2)]
    answer = infer(transport, where, "face_verify", pair, anti_spoofing=True)
    assert refused(answer, transport, "FAILED_PRECONDITION")
    assert infer(transport, where, "face_verify", pair).outputs["VERIFIED"][0]
