"""What a caller may send, and what is refused: every parameter, both forms of an image, and given faces."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from numpy.typing import NDArray

from facegate_client.contract import Code, SeveralFaces
from facegate_client.imaging.errors import InvalidImage
from facegate_ensemble.errors import RequestError
from facegate_ensemble.pack import Pack
from facegate_ensemble.pipeline.alignment import alignable, aligned_crops
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.pipeline.liveness import context_crops
from facegate_ensemble.policy import UNRESTRICTED, Policy
from facegate_ensemble.triton.request import (
    analyze_parameters,
    frame_image,
    read_faces,
    read_image,
    read_parameters,
    verify_values,
)

FACE = [10, 10, 60, 60, 20, 25, 50, 25, 35, 40, 22, 52, 48, 52]


def png(height: int, width: int) -> NDArray[np.object_]:
    """An encoded image, as Triton gives a BYTES tensor."""
    encoded = cv2.imencode(".png", np.full((height, width, 3), 7, dtype=np.uint8))[1]
    return np.array([encoded.tobytes()], dtype=np.object_)


def raw(height: int, width: int) -> dict[str, NDArray[Any]]:
    pixels = np.arange(height * width * 3, dtype=np.uint8)
    return {"FRAME": pixels, "FRAME_SHAPE": np.array([height, width], dtype=np.int32)}


def analyze(pack: Pack, given: object) -> dict[str, Any]:
    return read_parameters(given if isinstance(given, str) else json.dumps(given), analyze_parameters(pack))


def verify(pack: Pack, given: object) -> dict[str, Any]:
    return verify_values(json.dumps(given), pack, UNRESTRICTED)


@pytest.mark.parametrize("value", [None, False, 0, 1, "true"])
def test_where_liveness_is_required_nothing_but_true_asks_for_it(pack: Pack, value: object) -> None:
    policy = Policy(require_liveness=True)
    given = {} if value is None else {"anti_spoofing": value}
    with pytest.raises(RequestError, match=r"INVALID_ARGUMENT: .*anti_spoofing"):
        verify_values(json.dumps(given), pack, policy)
    assert verify_values('{"anti_spoofing": true}', pack, policy)["anti_spoofing"] is True


@given(limit=st.floats(0.01, 2), threshold=st.floats(0.01, 2))
def test_a_threshold_is_taken_up_to_the_operators_limit(pack: Pack, limit: float, threshold: float) -> None:
    try:
        values = verify_values(json.dumps({"threshold": threshold}), pack, Policy(max_threshold=limit))
    except RequestError as refusal:
        assert threshold > limit
        assert refusal.code is Code.INVALID_ARGUMENT
    else:
        assert values["threshold"] == threshold <= limit


def test_a_policy_is_read_from_the_environment_and_a_misspelt_value_is_an_error() -> None:
    read = Policy.from_environment
    assert read({}) == UNRESTRICTED
    strict = Policy(True, 0.5, SeveralFaces.LARGEST)
    assert read(strict.as_environment()) == strict
    for name, wrong in (("REQUIRE_LIVENESS", "ture"), ("MAX_THRESHOLD", "2.1"), ("SEVERAL_FACES", "first")):
        with pytest.raises(ValueError, match="validation error"):
            read({f"FACEGATE_{name}": wrong})


@pytest.mark.parametrize("nothing", ["", "{}"])
def test_without_parameters_the_defaults_hold(pack: Pack, nothing: str) -> None:
    defaults = {"anti_spoofing": False, "embeddings": True, "min_score": 0.7, "max_faces": 256, "several_faces": None}
    assert analyze(pack, nothing) == defaults
    assert verify(pack, {}) == {
        "anti_spoofing": False,
        "threshold": pack.recognizer.threshold,
        "several_faces": SeveralFaces.BEST,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("anti_spoofing", True),
        ("embeddings", False),
        ("min_score", 0.0),
        ("min_score", 0.25),
        ("min_score", 1),
        ("max_faces", 1),
        ("max_faces", 1024),
        ("several_faces", "best"),
        ("several_faces", "largest"),
        ("several_faces", "refuse"),
    ],
)
def test_analyze_takes_what_is_in_range(pack: Pack, name: str, value: object) -> None:
    assert analyze(pack, {name: value})[name] == value


@pytest.mark.parametrize("value", [2.0**-149, 0.57, 1, 2, 2.0])
def test_verify_takes_any_threshold_over_0_and_up_to_2(pack: Pack, value: float) -> None:
    threshold = verify(pack, {"threshold": value})["threshold"]
    assert threshold == value
    assert isinstance(threshold, float)


WRONG = [None, "1", "true", [], {}]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("anti_spoofing", [0, 1, 0.0, 1.0, *WRONG]),
        ("embeddings", [0, 1, 0.0, 1.0, *WRONG]),
        ("min_score", [True, False, -0.01, 1.01, 2, float("nan"), float("inf"), -float("inf"), 10**400, *WRONG]),
        ("max_faces", [True, False, 0, -1, 1025, 2**63, 3.0, float("nan"), *WRONG]),
        ("several_faces", [True, 0, 1, 1.0, "", "BEST", "first", "best ", ["best"], *WRONG]),
    ],
)
def test_analyze_refuses_what_is_ill_typed_or_out_of_range_and_names_it(
    pack: Pack, name: str, values: list[object]
) -> None:
    for value in values:
        with pytest.raises(RequestError, match=rf"^INVALID_ARGUMENT: parameter {name} must be "):
            analyze(pack, {name: value})


def test_verify_refuses_a_threshold_that_is_ill_typed_or_out_of_range(pack: Pack) -> None:
    for value in [True, 0, 0.0, -0.0, 1e-46, -0.5, 2.0001, 3, float("nan"), float("inf"), 10**400, *WRONG]:
        with pytest.raises(RequestError, match=r"^INVALID_ARGUMENT: parameter threshold must be "):
            verify(pack, {"threshold": value})


def test_a_server_may_have_another_default_for_several_faces_and_a_request_overrides_it(pack: Pack) -> None:
    policy = Policy(several_faces=SeveralFaces.REFUSE)
    assert verify_values("", pack, policy)["several_faces"] is SeveralFaces.REFUSE
    assert verify_values('{"several_faces": "best"}', pack, policy)["several_faces"] is SeveralFaces.BEST


@pytest.mark.parametrize("name", ["antispoofing", "ANTI_SPOOFING", "threshold", "", "a\nb\x1b[31m", "é" * 1000])
def test_an_unknown_parameter_is_refused_in_one_short_line(pack: Pack, name: str) -> None:
    with pytest.raises(RequestError, match=r"^INVALID_ARGUMENT: unknown parameter ") as refusal:
        analyze(pack, {"min_score": 0.5, name: True})
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("text", ["{", "nonsense", '{"min_score": }', '{"min_score": ' + "9" * 5000 + "}", "\0"])
def test_parameters_that_are_no_json_are_refused(pack: Pack, text: str) -> None:
    with pytest.raises(RequestError, match=r"^INVALID_ARGUMENT: "):
        analyze(pack, text)


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_parameters_that_are_no_object_are_refused(pack: Pack, text: str) -> None:
    with pytest.raises(RequestError, match=r"^INVALID_ARGUMENT: "):
        analyze(pack, text)


def test_an_encoded_image_and_a_raw_frame_are_both_read() -> None:
    assert read_image({"IMAGE": png(4, 6)}).shape == (4, 6, 3)
    assert read_image(raw(4, 6)).ravel().tolist() == list(range(72))


def test_each_image_of_a_verification_is_read_by_its_number() -> None:
    inputs = {"IMAGE_1": png(4, 6), **{name + "_2": values for name, values in raw(5, 7).items()}}
    assert read_image(inputs, "_1").shape == (4, 6, 3)
    assert read_image(inputs, "_2").shape == (5, 7, 3)


def shaped(height: int, width: int) -> dict[str, NDArray[Any]]:
    return raw(4, 6) | {"FRAME_SHAPE": np.array([height, width], dtype=np.int32)}


def encoded(data: bytes) -> dict[str, NDArray[Any]]:
    return {"IMAGE": np.array([data], dtype=np.object_)}


ONE = "give exactly one of IMAGE_2 and FRAME_2"
TOGETHER = "FRAME_2 and FRAME_SHAPE_2 go together"


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        pytest.param({}, ONE, id="neither"),
        pytest.param({"IMAGE": png(4, 6), **raw(4, 6)}, ONE, id="both"),
        pytest.param({"FRAME_SHAPE": raw(4, 6)["FRAME_SHAPE"]}, ONE, id="only a shape"),
        pytest.param({"FRAME": raw(4, 6)["FRAME"]}, TOGETHER, id="a frame without its shape"),
        pytest.param(
            {"IMAGE": png(4, 6), "FRAME_SHAPE": raw(4, 6)["FRAME_SHAPE"]}, TOGETHER, id="an image with a shape"
        ),
        pytest.param(encoded(b"not an image"), "IMAGE_2: ", id="not an image"),
        pytest.param(encoded(b""), "IMAGE_2: ", id="no bytes"),
        pytest.param(encoded(png(40, 60)[0][:60]), "IMAGE_2: ", id="half an image"),
        pytest.param(shaped(6, 6), "FRAME_2: ", id="more pixels than bytes"),
        pytest.param(shaped(0, 6), "FRAME_2: ", id="no rows"),
        pytest.param(shaped(-4, -6), "FRAME_2: ", id="less than no rows"),
        pytest.param(shaped(2**16, 2**16), "FRAME_2: ", id="more than 32 bits can count"),
    ],
)
def test_an_image_that_cannot_be_read_is_refused_and_named(inputs: dict[str, NDArray[Any]], reason: str) -> None:
    with pytest.raises(RequestError) as refusal:
        read_image({name + "_2": values for name, values in inputs.items()}, "_2")
    assert str(refusal.value).startswith(f"INVALID_ARGUMENT: {reason}")


def packed(*rows: list[float]) -> NDArray[np.uint8]:
    return np.frombuffer(np.array(rows, dtype="<f4").tobytes(), dtype=np.uint8)


def test_given_faces_are_taken_as_they_are() -> None:
    faces = read_faces(packed(FACE, [value + 100 for value in FACE]), 200, 200)
    assert faces.boxes.tolist() == [[10, 10, 60, 60], [110, 110, 160, 160]]
    assert faces.scores.tolist() == [1, 1]
    assert faces.landmarks[0].tolist() == [[20, 25], [50, 25], [35, 40], [22, 52], [48, 52]]
    assert {array.dtype for array in (faces.boxes, faces.scores, faces.landmarks)} == {np.dtype(np.float32)}


def test_no_given_face_is_no_face() -> None:
    faces = read_faces(np.empty(0, dtype=np.uint8), 200, 200)
    assert (faces.boxes.shape, faces.scores.shape, faces.landmarks.shape) == ((0, 4), (0,), (0, 5, 2))


@pytest.mark.parametrize(
    ("index", "value"), [(0, np.nan), (3, np.inf), (13, -np.inf), (2, 10), (3, 5), (9, 1e7), (0, -1e7)]
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_given_face_that_is_none_is_refused_by_its_number(index: int, value: float) -> None:
    broken = [float(number) for number in FACE]
    broken[index] = value
    with pytest.raises(RequestError, match=r"^INVALID_ARGUMENT: FACES_IN: face 1 (needs|lies) "):
        read_faces(packed(FACE, broken, FACE), 200, 200)


@pytest.mark.parametrize("shift", [(5000, 5000), (-900, -900), (530, 10), (-60, 0), (0, 170)])
def test_a_face_that_the_image_does_not_show_is_refused(shift: tuple[int, int]) -> None:
    """What is outside would be judged by the image's edge, and could be called live."""
    with pytest.raises(RequestError, match="face 0 lies outside the image by more than half"):
        read_faces(packed([value + shift[i % 2] for i, value in enumerate(FACE)]), 200, 200)


def test_a_face_half_in_the_image_and_the_smallest_are_taken() -> None:
    small = [10, 10, 18, 18, 11, 12, 16, 12, 14, 14, 12, 16, 16, 16]
    assert len(read_faces(packed([value - 34 * (i % 2 == 0) for i, value in enumerate(FACE)], small), 200, 200)) == 2
    with pytest.raises(RequestError, match="face 0 needs a box of at least 8 x 8 pixels"):
        read_faces(packed([10, 10, 17, 18, *small[4:]]), 200, 200)


@pytest.mark.parametrize("landmark", range(5))
@pytest.mark.parametrize(("axis", "side", "outside"), [(0, 60, 7.4), (0, 10, -7.4), (1, 60, 7.4), (1, 10, -7.4)])
def test_each_landmark_lies_in_its_box_or_close_to_it(landmark: int, axis: int, side: int, outside: float) -> None:
    """The box is 50 pixels wide and high: 15 % of that are 7.5."""
    row = [float(value) for value in FACE]
    row[4 + 2 * landmark + axis] = side + outside
    assert len(read_faces(packed(FACE, row), 200, 200)) == 2
    row[4 + 2 * landmark + axis] = side + outside * 7.6 / 7.4
    with pytest.raises(RequestError, match="INVALID_ARGUMENT: FACES_IN: face 1 ") as refusal:
        read_faces(packed(FACE, row, row), 200, 200)
    assert "landmarks" in str(refusal.value)


def test_the_margin_of_landmarks_follows_the_shape_of_the_box() -> None:
    flat = [10, 10, 110, 20, 20, 12, 100, 12, 60, 15, 25, 18, 95, 18]
    assert len(read_faces(packed([*flat[:4], -4, *flat[5:]]), 200, 200)) == 1
    with pytest.raises(RequestError, match="face 0 needs landmarks"):
        read_faces(packed([*flat[:5], 8.4, *flat[6:]]), 200, 200)


def test_landmarks_that_coincide_are_that_faces_matter() -> None:
    faces = read_faces(packed(FACE, FACE[:4] + [30] * 10), 200, 200)
    assert alignable(faces.landmarks).tolist() == [True, False]


@pytest.mark.parametrize("size", [1, 55, 57, 14])
def test_bytes_that_are_no_rows_are_refused(size: int) -> None:
    with pytest.raises(RequestError, match=rf"^INVALID_ARGUMENT: FACES_IN: {size} bytes are not rows of 56"):
        read_faces(np.zeros(size, dtype=np.uint8), 200, 200)


def test_more_given_faces_than_the_limit_are_refused() -> None:
    assert len(read_faces(packed(*[FACE] * 1024), 200, 200)) == 1024
    with pytest.raises(RequestError, match=r"^INVALID_ARGUMENT: FACES_IN: 1025 faces, at most 1024"):
        read_faces(packed(*[FACE] * 1025), 200, 200)


def faces_or_code(given: bytes) -> tuple[Faces | None, Code | None]:
    try:
        return read_faces(np.frombuffer(given, dtype=np.uint8), 200, 200), None
    except RequestError as refusal:
        return None, refusal.code


numbers = st.one_of(st.floats(width=32), st.floats(-200, 200, width=32), st.sampled_from([0.0, 1.0, 1e6, -1e6]))
rows = nps.arrays("<f4", st.tuples(st.integers(0, 3), st.just(14)), elements=numbers)
near = nps.arrays("<f4", (1, 14), elements=st.floats(-9, 9, width=32)).map(lambda noise: noise + np.float32(FACE))


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), *[some.map(lambda values: values.tobytes()) for some in (rows, near)]))
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_any_bytes_are_faces_that_can_be_cropped_or_are_refused(given: bytes) -> None:
    faces, code = faces_or_code(given)
    assert (faces is None) == (code is Code.INVALID_ARGUMENT)
    if faces is not None:
        assert len(faces) * 56 == len(given)
        template = np.array(FACE[4:], dtype=np.float32).reshape(5, 2)
        usable = faces.landmarks[alignable(faces.landmarks)]
        aligned_crops(np.zeros((200, 200, 3), dtype=np.uint8), usable, template, 64, 64)
        context_crops(np.zeros((200, 200, 3), dtype=np.uint8), faces.boxes, 2.7, 64, 64)


SEVENTY_COLOURS = np.arange(7 * 10 * 3, dtype=np.uint8).reshape(7, 10, 3)


def test_a_frame_is_a_view_of_the_clients_bytes() -> None:
    flat = SEVENTY_COLOURS.ravel()
    image = frame_image(flat, 7, 10)
    assert np.array_equal(image, SEVENTY_COLOURS)
    assert np.shares_memory(image, flat)


@pytest.mark.parametrize(
    ("height", "width", "why"),
    [
        (0, 10, "height and width must be above zero, got 0 and 10"),
        (7, -10, "height and width must be above zero, got 7 and -10"),
        (-(2**31), -(2**31), "must be above zero"),
        (2**31 - 1, 2**31 - 1, "2147483647x2147483647 is over the limit"),
        (65536, 65536, "65536x65536 is over the limit"),
        (7, 11, "7 x 11 x 3 is 231 bytes, got 210"),
        (1, 1, "1 x 1 x 3 is 3 bytes, got 210"),
    ],
)
@pytest.mark.parametrize("number", [int, np.int32])
def test_a_frame_of_another_shape_is_refused(height: int, width: int, why: str, number: type) -> None:
    with pytest.raises(InvalidImage, match=why):
        frame_image(SEVENTY_COLOURS.ravel(), number(height), number(width))
