"""Which face counts in an image that shows several, on a real server and through the gateway."""

from __future__ import annotations

import asyncio

import cv2
import numpy as np
import pytest

from facegate.cameras.watch.people import load
from facegate.local.local import Local
from facegate_client import AsyncFaceClient, BadImage, FaceClient
from facegate_client.requests import verification
from facegate_client.service import FaceServiceClient
from support.grpc_gateway import grpc_gateway
from support.rest import in_base64, refused, rest
from support.serving import serving
from support.wire import encoded, infer
from support.wire import refused as refused_by_triton

GROUP = "detection/selfie-many-people.jpg"  # the best-detected of the faces is not the largest
FACES_IN_GROUP = 6


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def beside(large, small, scale):
    """Both pictures in one, the second scaled down."""
    reduced = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((large.shape[0], large.shape[1] + reduced.shape[1], 3), np.uint8)
    canvas[:, : large.shape[1]] = large
    canvas[: reduced.shape[0], large.shape[1] :] = reduced
    return canvas


@pytest.fixture(scope="module")
def live(pictures):
    return cv2.imread(str(pictures / "liveness/image_T1.jpg"))


@pytest.fixture(scope="module")
def stranger(pictures):
    """Another person, whose face here is detected with a higher score and is found to be a spoof when scaled down."""
    return cv2.imread(str(pictures / "verification/img5.jpg"))


@pytest.fixture(scope="module")
def pair(live, stranger):
    """A large live face of a lower score, and a small one of a stranger."""
    return png(beside(live, stranger, 0.7))


@pytest.fixture(scope="module")
def group(pictures):
    return (pictures / GROUP).read_bytes()


@pytest.fixture(scope="module")
def ask(server):
    return lambda model, tensors, **options: infer("grpc", server.grpc, model, tensors, **options)


@pytest.fixture(scope="module")
def faces(ask, group):
    """All faces of the group, best first."""
    return ask("face_analyze", [encoded("IMAGE", group)], anti_spoofing=True).outputs


@pytest.fixture(scope="module")
def largest(faces, group):
    """Which of them is the largest, and not the best."""
    height, width = cv2.imdecode(np.frombuffer(group, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    corners = np.clip(faces["BOXES"].reshape(-1, 2, 2), 0, [width, height])
    row = int(np.argmax(np.prod(corners[:, 1] - corners[:, 0], axis=1)))
    assert row > 0
    return row


@pytest.mark.parametrize("several_faces", ["best", "largest"])
def test_an_analysis_of_one_face_is_that_of_the_same_face_among_all(ask, group, faces, largest, several_faces):
    row = largest if several_faces == "largest" else 0
    one = ask("face_analyze", [encoded("IMAGE", group)], anti_spoofing=True, several_faces=several_faces).outputs
    assert one["FACE_COUNT"].tolist() == [FACES_IN_GROUP]
    for name in ("BOXES", "SCORES", "LANDMARKS", "IS_REAL"):
        assert np.array_equal(one[name], faces[name][row : row + 1])
    assert one["EMBEDDINGS"][0] @ faces["EMBEDDINGS"][row] >= 0.9999
    assert one["ANTISPOOF_SCORE"][0] == pytest.approx(faces["ANTISPOOF_SCORE"][row], abs=1e-3)


@pytest.mark.parametrize(("several_faces", "is_largest"), [("best", False), ("largest", True), (None, False)])
def test_a_verification_takes_the_face_that_was_chosen_in_either_image(
    ask, group, live, faces, largest, several_faces, is_largest
):
    options = {"several_faces": several_faces} if several_faces else {}
    box = faces["BOXES"][largest if is_largest else 0]
    one = encoded("IMAGE_1", png(live)), encoded("IMAGE_2", group)
    other = encoded("IMAGE_1", group), encoded("IMAGE_2", png(live))
    for tensors, number in ((one, 2), (other, 1)):
        answer = ask("face_verify", tensors, **options).outputs
        assert np.abs(answer[f"BOX_{number}"] - box).max() <= 1e-3
        assert answer[f"FACE_COUNT_{number}"].tolist() == [FACES_IN_GROUP]
        assert answer[f"FACE_COUNT_{3 - number}"].tolist() == [1]


def test_identity_and_liveness_are_of_the_same_face(ask, live, pair):
    """The largest face is the live one of the person, the best-detected one is a stranger's and a spoof."""
    tensors = [encoded("IMAGE_1", pair), encoded("IMAGE_2", png(live))]
    by_choice = {
        each: ask("face_verify", tensors, anti_spoofing=True, several_faces=each).outputs
        for each in ("best", "largest")
    }
    best, largest = by_choice["best"], by_choice["largest"]
    assert (largest["VERIFIED"][0], largest["IS_REAL_1"][0]) == (True, True)
    assert largest["DISTANCE"][0] < 0.2
    assert (best["VERIFIED"][0], best["IS_REAL_1"][0]) == (False, False)
    assert best["DISTANCE"][0] > best["THRESHOLD"][0]
    sizes = [np.prod(each["BOX_1"][2:] - each["BOX_1"][:2]) for each in (best, largest)]
    assert sizes[0] < sizes[1]
    assert best["FACE_COUNT_1"][0] == largest["FACE_COUNT_1"][0] == 2


def test_refusing_names_the_image_and_the_number_of_faces(ask, group, live):
    face = png(live)
    group_pixels = cv2.imdecode(np.frombuffer(group, np.uint8), cv2.IMREAD_COLOR)
    frame = [
        ("FRAME_1", group_pixels.reshape(-1)),
        ("FRAME_SHAPE_1", np.array(group_pixels.shape[:2], np.int32)),
    ]
    for model, tensors, name in (
        ("face_verify", [encoded("IMAGE_1", group), encoded("IMAGE_2", face)], "IMAGE_1"),
        ("face_verify", [encoded("IMAGE_1", face), encoded("IMAGE_2", group)], "IMAGE_2"),
        ("face_verify", [*frame, encoded("IMAGE_2", face)], "FRAME_1"),
        ("face_analyze", [encoded("IMAGE", group)], "IMAGE"),
    ):
        answer = ask(model, tensors, several_faces="refuse")
        assert refused_by_triton(answer, "grpc", "INVALID_ARGUMENT")
        assert answer.message.startswith(f"INVALID_ARGUMENT: {name}: ")
        assert str(FACES_IN_GROUP) in answer.message and "several_faces=largest" in answer.message
    one = [encoded("IMAGE_1", face), encoded("IMAGE_2", face)]
    assert ask("face_verify", one, several_faces="refuse").outputs["VERIFIED"][0]
    assert ask("face_analyze", [encoded("IMAGE", face)], several_faces="refuse").outputs["FACE_COUNT"][0] == 1


def test_no_face_is_refused_by_a_verification_and_counted_by_an_analysis(ask, live):
    black = png(np.zeros((64, 64, 3), np.uint8))
    answer = ask("face_verify", [encoded("IMAGE_1", png(live)), encoded("IMAGE_2", black)], several_faces="refuse")
    assert refused_by_triton(answer, "grpc", "NOT_FOUND")
    for several_faces in ("best", "largest", "refuse"):
        found = ask("face_analyze", [encoded("IMAGE", black)], anti_spoofing=True, several_faces=several_faces).outputs
        assert (found["BOXES"].shape, found["IS_REAL"].shape) == ((0, 4), (0,))
        assert found["FACE_COUNT"].tolist() == [0]


def test_faces_are_counted_from_the_requests_min_score_on_and_before_max_faces(ask, group):
    image = encoded("IMAGE", group)
    for min_score in (0.05, 0.5, 0.93):
        count = len(
            ask("face_analyze", [image], min_score=min_score, max_faces=1024, embeddings=False).outputs["BOXES"]
        )
        one = ask("face_analyze", [image], min_score=min_score, max_faces=1, embeddings=False, several_faces="largest")
        assert one.outputs["FACE_COUNT"].tolist() == [count]
        assert len(one.outputs["BOXES"]) == 1


@pytest.mark.parametrize("given", [0, 1])
def test_given_faces_are_not_chosen_from(ask, live, given):
    faces_in = np.frombuffer(np.full(14 * given, 10, "<f4").tobytes(), np.uint8)
    answer = ask("face_analyze", [encoded("IMAGE", png(live)), ("FACES_IN", faces_in)], several_faces="best")
    assert refused_by_triton(answer, "grpc", "INVALID_ARGUMENT")
    assert answer.message.startswith("INVALID_ARGUMENT: several_faces: ")


def people_to_watch(address, photo):
    """What a camera that watches for the person of `photo` asks for at its start."""

    async def loaded():
        async with AsyncFaceClient(address) as client:
            return await load(client, [photo], anti_spoofing=False, say=lambda line: None)

    return asyncio.run(loaded())


def test_the_servers_default_is_for_verifications_that_do_not_say(group, live, pictures, tmp_path, repository):
    with serving(tmp_path / "log", "--several-faces", "refuse") as running, FaceClient(running.grpc) as client:
        with pytest.raises(BadImage, match=r"IMAGE_2.*6"):
            client.verify(live, group)
        assert client.verify(live, group, several_faces="best").face_count_2 == FACES_IN_GROUP
        assert client.verify(live, live)
        assert len(client.analyze(group)) == FACES_IN_GROUP
        assert client.analyze(group).face_count is None
        watched = people_to_watch(running.grpc, pictures / GROUP)
        assert watched.threshold == pytest.approx(client.verify(live, live).threshold)
        with rest(running.grpc) as gateway:  # it says what it wants
            answer = gateway.post("/v1/face/verify", json={"img1": in_base64(png(live)), "img2": in_base64(group)})
            assert answer.json()["img2_face_count"] == FACES_IN_GROUP


def test_this_process_in_place_of_a_server_has_the_same_default(group, live, repository, monkeypatch):
    for default, is_refused in (("refuse", True), ("largest", False)):
        monkeypatch.setenv("FACEGATE_SEVERAL_FACES", default)
        local = Local(repository)
        try:
            request = verification(group, live, threshold=None, anti_spoofing=False)
            answer = local.start(request.call, 10)
            if is_refused:
                with pytest.raises(BadImage, match=r"IMAGE_1"):
                    answer.result(20)
            else:
                assert request.read(answer.result(20)).face_count_1 == FACES_IN_GROUP
        finally:
            local.close()


@pytest.fixture(scope="module")
def by_rest(server):
    with rest(server.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def by_grpc(server):
    with grpc_gateway(server.grpc) as running, FaceServiceClient(running.address) as client:
        yield client


def test_rest_refuses_to_register_a_group_unless_a_face_is_chosen(by_rest, group, faces, largest):
    asked = {"img": in_base64(group), "name": "Ada"}
    error = refused(by_rest.post("/v1/face/register", json=asked), 400, "INVALID_ARGUMENT", "img")
    assert error["message"].startswith("img: ")
    assert str(FACES_IN_GROUP) in error["message"] and "several_faces=largest" in error["message"]
    assert by_rest.get("/v1/face/people").json()["people"] == []
    done = by_rest.post("/v1/face/register", json={**asked, "several_faces": "largest"}).json()
    assert done["face_count"] == FACES_IN_GROUP

    found = by_rest.post("/v1/face/identify", json={"img": in_base64(group)}).json()
    assert found["matches"][0]["match"] and found["matches"][0]["distance"] < 1e-3
    assert found["face_count"] == FACES_IN_GROUP
    assert found["face"]["x"] == pytest.approx(faces["BOXES"][largest][0], abs=1e-2)
    best = by_rest.post("/v1/face/identify", files={"img": group}, data={"several_faces": "best"}).json()
    assert best["face"]["x"] == pytest.approx(faces["BOXES"][0][0], abs=1e-2)
    assert best["matches"][0]["distance"] > 0.1
    error = by_rest.post("/v1/face/identify", json={"img": in_base64(group), "several_faces": "refuse"})
    assert refused(error, 400, "INVALID_ARGUMENT", "img")["message"].startswith("img: ")
    assert by_rest.post("/v1/face/forget", json={"id": done["id"]}).status_code == 204


def test_rest_verifies_the_best_face_and_says_how_many_there_are(by_rest, group, live, faces, largest):
    asked = {"img1": in_base64(png(live)), "img2": in_base64(group)}
    for options, row in (({}, 0), ({"several_faces": None}, 0), ({"several_faces": "largest"}, largest)):
        answer = by_rest.post("/v1/face/verify", json={**asked, **options}).json()
        assert answer["img2_area"]["x"] == pytest.approx(faces["BOXES"][row][0], abs=1e-2)
        assert (answer["img1_face_count"], answer["img2_face_count"]) == (1, FACES_IN_GROUP)
    answer = by_rest.post("/v1/face/verify", json={**asked, "several_faces": "refuse"})
    assert refused(answer, 400, "INVALID_ARGUMENT", "img2")["message"].startswith("img2: ")
    for value in ("first", "", 1, True):
        refused(
            by_rest.post("/v1/face/verify", json={**asked, "several_faces": value}),
            400,
            "INVALID_ARGUMENT",
            "several_faces",
        )


def test_rest_analyzes_and_embeds_one_face_where_that_is_requested(by_rest, group):
    asked = {"img": in_base64(group)}
    every = by_rest.post("/v1/face/analyze", json=asked).json()
    assert len(every["faces"]) == FACES_IN_GROUP and "face_count" not in every
    one = by_rest.post("/v1/face/analyze", json={**asked, "several_faces": "largest"}).json()
    assert (len(one["faces"]), one["face_count"]) == (1, FACES_IN_GROUP)
    embedded = [
        by_rest.post("/v1/face/embed", json={**asked, **more}).json() for more in ({}, {"several_faces": "largest"})
    ]
    assert [each["face_count"] for each in embedded] == [FACES_IN_GROUP] * 2
    assert np.dot(embedded[0]["embedding"], embedded[1]["embedding"]) < 0.9
    refused(by_rest.post("/v1/face/embed", json={**asked, "several_faces": "refuse"}), 400, "INVALID_ARGUMENT", "img")


def test_face_service_refuses_to_enroll_a_group_unless_a_face_is_chosen(by_grpc, group, live, faces, largest):
    with pytest.raises(BadImage, match=r"images\[2\].*6.*several_faces=largest"):
        by_grpc.enroll([png(live), live, group], name="Ada")
    assert list(by_grpc.people()) == []
    enrolled = by_grpc.enroll([group, live], name="Ada", several_faces="largest")
    assert enrolled.face_counts == (FACES_IN_GROUP, 1)
    assert enrolled.faces[0].box == pytest.approx(faces["BOXES"][largest], abs=1e-2)
    with pytest.raises(BadImage, match=r"images\[0\]"):
        by_grpc.add_photos(enrolled.person.id, [group])

    found = by_grpc.identify(group)
    assert (found.person, found.face_count) == (enrolled.person, FACES_IN_GROUP)
    assert found.box == pytest.approx(faces["BOXES"][largest], abs=1e-2)
    assert by_grpc.identify(group, several_faces="best").box == pytest.approx(faces["BOXES"][0], abs=1e-2)
    with pytest.raises(BadImage, match=r"image\b.*6"):
        by_grpc.identify(group, several_faces="refuse")
    by_grpc.forget(enrolled.person.id)


def test_face_service_verifies_analyzes_and_embeds_the_face_that_was_chosen(by_grpc, group, live, faces, largest):
    for options, row in (({}, 0), ({"several_faces": "largest"}, largest)):
        verdict = by_grpc.verify(group, live, **options)
        assert verdict.box_1 == pytest.approx(faces["BOXES"][row], abs=1e-2)
        assert (verdict.face_count_1, verdict.face_count_2) == (FACES_IN_GROUP, 1)
        embedded = by_grpc.embed(group, **options)
        assert embedded.box == pytest.approx(faces["BOXES"][row], abs=1e-2)
        assert embedded.face_count == FACES_IN_GROUP
    with pytest.raises(BadImage, match=r"image_1.*6"):
        by_grpc.verify(group, live, several_faces="refuse")
    assert (len(by_grpc.analyze(group)), by_grpc.analyze(group).face_count) == (FACES_IN_GROUP, None)
    one = by_grpc.analyze(group, several_faces="largest")
    assert (len(one), one.face_count) == (1, FACES_IN_GROUP)
    (streamed,) = by_grpc.analyze_stream([group], several_faces="best")
    assert streamed[0].box == pytest.approx(faces["BOXES"][0], abs=1e-2)
    assert streamed.face_count == FACES_IN_GROUP
