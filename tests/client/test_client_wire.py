"""What the client puts on the wire, over both protocols: names, dtypes, shapes, parameters and their types."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facegate_client import BadImage, FaceClient, InvalidRequest, Model, ServerFault, contract
from support.fake_triton import DIGEST, Call, FakeTriton, analyze_answer, verify_answer

JPEG = b"\xff\xd8\xff and the rest\x00\x00"  # zeros at the end must survive


def frame(height: int = 3, width: int = 5) -> np.ndarray:
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


def last(triton: FakeTriton) -> Call:
    return triton.calls[-1]


def test_verify_sends_two_files_and_says_what_it_wants(triton: FakeTriton, client: FaceClient, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(JPEG)
    result = client.verify(file, JPEG[:8])
    call = last(triton)
    assert call.model == "face_verify"
    assert {name: (sent.datatype, sent.shape) for name, sent in call.inputs.items()} == {
        "IMAGE_1": ("BYTES", [1]),
        "IMAGE_2": ("BYTES", [1]),
    }
    assert (call.inputs["IMAGE_1"].file, call.inputs["IMAGE_2"].file) == (JPEG, JPEG[:8])
    assert call.parameters == {"anti_spoofing": ("bool", False)}
    assert result
    assert (result.is_real_1, result.antispoof_score_1, result.is_real_2, result.antispoof_score_2) == (None,) * 4
    assert (result.distance, result.threshold, result.confidence, result.processing_time_ms) == (0.25, 0.5, 50, 12.5)
    assert (result.box_1, result.box_2) == ((1, 2, 3, 4), (5, 6, 7, 8))


def test_a_path_may_be_a_string(triton: FakeTriton, client: FaceClient, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    client.verify(str(tmp_path / "a.jpg"), bytearray(JPEG))
    assert last(triton).inputs["IMAGE_1"].file == last(triton).inputs["IMAGE_2"].file == JPEG


def test_verify_sends_frames_raw(triton: FakeTriton, client: FaceClient) -> None:
    client.verify(frame(), JPEG, anti_spoofing=True)
    inputs = last(triton).inputs
    assert set(inputs) == {"FRAME_1", "FRAME_SHAPE_1", "IMAGE_2"}
    assert (inputs["FRAME_1"].datatype, inputs["FRAME_1"].shape) == ("UINT8", [45])
    assert inputs["FRAME_1"].raw == frame().tobytes()
    assert (inputs["FRAME_SHAPE_1"].datatype, inputs["FRAME_SHAPE_1"].shape) == ("INT32", [2])
    assert inputs["FRAME_SHAPE_1"].values.tolist() == [3, 5]


def test_a_view_is_sent_as_it_looks(triton: FakeTriton, client: FaceClient) -> None:
    mirrored = frame(6, 4)[::2, ::-1]
    client.analyze(mirrored)
    assert last(triton).inputs["FRAME"].raw == mirrored.tobytes()
    assert last(triton).inputs["FRAME_SHAPE"].values.tolist() == [3, 4]


@pytest.mark.parametrize("threshold", [1, 1.0, np.float32(1), np.int64(1)])
def test_a_threshold_travels_as_a_double(triton: FakeTriton, client: FaceClient, threshold: float) -> None:
    client.verify(JPEG, JPEG, threshold=threshold, anti_spoofing=True)
    assert last(triton).parameters == {"threshold": ("double", 1.0), "anti_spoofing": ("bool", True)}


def test_analyze_sends_each_parameter_in_its_type(triton: FakeTriton, client: FaceClient) -> None:
    faces = client.analyze(JPEG, anti_spoofing=True, embeddings=False, min_score=0.5, max_faces=np.int64(7))
    call = last(triton)
    assert (call.model, list(call.inputs)) == ("face_analyze", ["IMAGE"])
    assert call.parameters == {
        "anti_spoofing": ("bool", True),
        "embeddings": ("bool", False),
        "min_score": ("double", 0.5),
        "max_faces": ("int64", 7),
    }
    assert [(face.is_real, round(face.antispoof_score or 0, 2)) for face in faces] == [(True, 0.98), (False, 0.01)]
    assert [face.embedding for face in faces] == [None, None]


def test_analyze_asks_for_embeddings_alone_unless_told(triton: FakeTriton, client: FaceClient) -> None:
    first, second = client.analyze(JPEG)
    assert last(triton).parameters == {"anti_spoofing": ("bool", False), "embeddings": ("bool", True)}
    assert second.box == (4, 5, 6, 7)
    assert second.landmarks == ((10, 11), (12, 13), (14, 15), (16, 17), (18, 19))
    assert first.embedding is not None
    assert (first.embedding.dtype, first.embedding.tolist()) == (np.float32, [1, 0, 0, 0, 0, 0, 0, 0])
    assert first.is_real is None
    assert first.antispoof_score is None


def counted(*counts: int) -> dict[str, np.ndarray]:
    """face_verify's outputs FACE_COUNT_1 and FACE_COUNT_2."""
    return {f"FACE_COUNT_{number}": np.array([count], np.int32) for number, count in enumerate(counts, 1)}


@pytest.mark.parametrize("several_faces", ["best", "largest", "refuse", contract.SeveralFaces.LARGEST])
def test_which_face_counts_is_sent_where_the_caller_says_and_only_there(
    triton: FakeTriton, client: FaceClient, several_faces: str
) -> None:
    client.verify(JPEG, JPEG)
    assert "several_faces" not in last(triton).parameters  # an older server refuses a parameter that it does not know
    client.analyze(JPEG)
    assert "several_faces" not in last(triton).parameters
    value = str(contract.SeveralFaces(several_faces).value)
    client.verify(JPEG, JPEG, several_faces=several_faces)
    assert last(triton).parameters["several_faces"] == ("string", value)
    triton.answer = lambda call: analyze_answer(1, FACE_COUNT=np.array([6], np.int32))
    faces = client.analyze(JPEG, several_faces=several_faces)
    assert last(triton).parameters["several_faces"] == ("string", value)
    assert (len(faces), faces.face_count) == (1, 6)


@pytest.mark.parametrize("value", ["first", "", "BEST", 1, True, ["best"]])
def test_a_choice_that_does_not_exist_is_refused_before_it_is_sent(
    triton: FakeTriton, client: FaceClient, value: object
) -> None:
    for ask in (
        lambda: client.verify(JPEG, JPEG, several_faces=value),
        lambda: client.analyze(JPEG, several_faces=value),
    ):
        with pytest.raises(InvalidRequest, match=r"several_faces: .*best, largest, refuse"):
            ask()
    assert not triton.calls


def test_a_verification_says_how_many_faces_there_are_where_the_server_does(
    triton: FakeTriton, client: FaceClient
) -> None:
    triton.answer = lambda call: verify_answer(**counted(6, 1))
    result = client.verify(JPEG, JPEG)
    assert (result.face_count_1, result.face_count_2) == (6, 1)
    triton.answer = lambda call: verify_answer()  # an older server
    result = client.verify(JPEG, JPEG)
    assert result
    assert (result.face_count_1, result.face_count_2) == (None, None)
    assert client.verify(JPEG, JPEG, several_faces="largest").face_count_1 is None


@pytest.mark.parametrize("wrong", [counted(0), counted(-1), {"FACE_COUNT_1": np.array([1], np.float32)}])
def test_a_number_of_faces_that_cannot_be_is_a_fault(
    triton: FakeTriton, client: FaceClient, wrong: dict[str, np.ndarray]
) -> None:
    triton.answer = lambda call: verify_answer(**wrong)
    with pytest.raises(ServerFault):
        client.verify(JPEG, JPEG)


def test_more_faces_than_the_choice_allows_are_a_fault(triton: FakeTriton, client: FaceClient) -> None:
    triton.answer = lambda call: analyze_answer(2)
    with pytest.raises(ServerFault):
        client.analyze(JPEG, several_faces="largest")
    triton.answer = lambda call: analyze_answer(1)
    assert client.analyze(JPEG, several_faces="largest").face_count is None
    triton.answer = lambda call: analyze_answer(1, FACE_COUNT=np.array([0], np.int32))
    with pytest.raises(ServerFault):
        client.analyze(JPEG, several_faces="largest")


def test_no_face_is_an_empty_list(triton: FakeTriton, client: FaceClient) -> None:
    triton.answer = lambda call: analyze_answer(0, liveness=True)
    assert client.analyze(JPEG, anti_spoofing=True) == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4", np.int32])
def test_known_faces_travel_as_little_endian_float32(triton: FakeTriton, client: FaceClient, dtype: str) -> None:
    faces = np.arange(28).reshape(2, 14).astype(dtype)
    client.analyze(JPEG, faces=faces[:, ::1])
    sent = last(triton).inputs["FACES_IN"]
    assert (sent.datatype, sent.shape) == ("UINT8", [112])
    assert np.frombuffer(sent.raw, "<f4").tolist() == list(range(28))


def test_a_known_face_without_an_embedding_says_why_and_its_liveness_is_told(
    triton: FakeTriton, client: FaceClient
) -> None:
    why = "INVALID_ARGUMENT: its landmarks coincide, naïvely"
    embeddings = np.array([[0, 0], [0.6, 0.8]], np.float32)
    triton.answer = lambda call: analyze_answer(2, liveness=True, errors=[why, ""], EMBEDDINGS=embeddings)
    first, second = client.analyze(JPEG, faces=np.zeros((2, 14), np.float32), anti_spoofing=True)
    assert (first.embedding, first.error, first.is_real) == (None, why, True)
    assert (second.embedding.tolist(), second.error, second.is_real) == (embeddings[1].tolist(), None, False)


def test_an_answer_names_its_nets(triton: FakeTriton, client: FaceClient) -> None:
    assert (
        client.verify(JPEG, JPEG).model
        == client.analyze(JPEG).model
        == Model("mobileface", "MIT", True, DIGEST, "e", "fp32", 0.4)
    )


def test_no_known_face_is_asked_too_so_that_what_cannot_be_checked_is_said(
    triton: FakeTriton, client: FaceClient
) -> None:
    triton.answer = lambda call: analyze_answer(0, liveness=True, errors=[])
    assert client.analyze(JPEG, faces=np.zeros((0, 14), np.float32), anti_spoofing=True) == []
    assert last(triton).inputs["FACES_IN"].shape == [0]


@pytest.mark.parametrize(
    ("faces", "says"),
    [
        (np.zeros((2, 4)), r"expected numbers \[N, 14\], got float64 \[2, 4\]"),
        (np.zeros(14), r"got float64 \[14\]"),
        (np.full((1, 14), np.nan), "got NaN or infinity"),
        (np.full((1, 14), 1e300), "got NaN or infinity"),
        (np.full((1, 14), "x"), "got <U1"),
    ],
)
def test_wrong_known_faces_are_refused_here(client: FaceClient, faces: np.ndarray, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        client.analyze(JPEG, faces=faces)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((4, 4, 3), np.float32), r"image 2: expected a uint8 array .* got float32 \[4, 4, 3\]"),
        (np.zeros((4, 4), np.uint8), r"got uint8 \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"got uint8 \[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8 \[0, 4, 3\]"),
        (np.broadcast_to(np.zeros(3, np.uint8), (8000, 5001, 3)), "5001x8000 is over the limit"),
        (np.zeros((1, 32_767, 3), np.uint8), "32767x1 is over the limit"),
        (b"", "image 2: is empty"),
        (bytes(contract.MAX_IMAGE_BYTES + 1), "larger than the limit of 10 MiB"),
        ("no/such.jpg", "image 2: cannot read no/such.jpg: No such file"),
        ("a\0b", "image 2: cannot read"),
        (None, "got NoneType"),
        (3, "got int"),
    ],
)
def test_what_is_no_image_is_refused_here(triton: FakeTriton, client: FaceClient, image: object, says: str) -> None:
    with pytest.raises(BadImage, match=says):
        client.verify(JPEG, image)  # type: ignore[arg-type]
    assert triton.calls == []


def test_a_file_is_read_only_as_far_as_the_limit(client: FaceClient) -> None:
    with pytest.raises(BadImage, match=r"image \(/dev/zero\): is larger than the limit of 10 MiB"):
        client.analyze("/dev/zero")


def test_the_largest_file_goes_through(triton: FakeTriton, client: FaceClient) -> None:
    largest = bytes(contract.MAX_IMAGE_BYTES)
    client.verify(largest, largest)
    assert len(last(triton).inputs["IMAGE_2"].file) == contract.MAX_IMAGE_BYTES


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "0.4", None.__class__])
def test_a_threshold_that_is_no_number_is_refused_here(client: FaceClient, value: float) -> None:
    with pytest.raises(InvalidRequest, match="threshold: expected a finite number"):
        client.verify(JPEG, JPEG, threshold=value)


@pytest.mark.parametrize("value", [0, -1, 1025, 2**70, 1.5, True, "3"])
def test_a_face_count_out_of_range_is_refused_here(client: FaceClient, value: int) -> None:
    with pytest.raises(InvalidRequest, match="max_faces: expected a whole number in 1-1024"):
        client.analyze(JPEG, max_faces=value)


def test_readiness_is_of_both_models(triton: FakeTriton, client: FaceClient) -> None:
    assert client.is_ready()
    triton.ready.discard("face_analyze")
    assert not client.is_ready()


def test_threads_share_a_client(triton: FakeTriton, client: FaceClient) -> None:
    together = threading.Barrier(4, timeout=5)  # breaks unless four requests are under way at once

    def echo(call: Call) -> dict[str, np.ndarray]:
        together.wait()
        width = call.inputs["FRAME_SHAPE"].values[1]
        return analyze_answer(1, embeddings=False, BOXES=np.full((1, 4), width, np.float32))

    triton.answer = echo
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda width: client.analyze(frame(2, width), embeddings=False)[0].box[0], range(1, 41))
        assert list(answers) == list(range(1, 41))
    assert len(triton.connections) == (1 if triton.protocol == "grpc" else 4)
