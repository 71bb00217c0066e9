"""REST on a real Triton: what a caller with curl gets."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import cv2
import httpx
import pytest

from facegate_client import FaceClient
from support.exact_images import portrait_files
from support.rest import blank, in_base64, liveness_keys, refused, rest

LIVE, SPOOF = "image_T1.jpg", "image_F2.jpg"
LIVENESS_OF_TWO = {"img1_is_real", "img1_antispoof_score", "img2_is_real", "img2_antispoof_score"}


@pytest.fixture(scope="module")
def ask(server) -> Iterator[httpx.Client]:
    with rest(server.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def pictures_of(samples) -> dict[str, str]:
    return {name: in_base64(path) for name, path in samples.items()}


@pytest.fixture
def nobody(ask) -> Iterator[None]:
    """Whoever a test registers is forgotten after it."""
    yield
    for person in ask.get("/v1/face/people").json()["people"]:
        assert ask.post("/v1/face/forget", json={"id": person["id"]}).status_code == 204


def area(box: Any) -> dict[str, float]:
    x1, y1, x2, y2 = box
    return {"x": x1, "y": y1, "w": x2 - x1, "h": y2 - y1}


@pytest.mark.parametrize("name", ["rgbx.bmp", "exif6.jpg", "grey16_trns.png"])
def test_a_reported_image_is_answered_as_its_pixels_are(server, ask, samples, name):
    file, pixels = portrait_files(cv2.imread(str(samples[LIVE]))[::2, ::2])[name]
    with FaceClient(server.grpc) as client:
        (expected,) = client.analyze(pixels, embeddings=False)
    got = ask.post("/v1/face/analyze", json={"img": base64.b64encode(file).decode()}).json()
    assert [face["region"] for face in got["faces"]] == [area(expected.box)]


@pytest.mark.parametrize("anti_spoofing", [False, True])
def test_a_verdict_is_the_one_that_triton_gives(server, ask, pictures_of, samples, anti_spoofing):
    with FaceClient(server.grpc) as client:
        expected = client.verify(samples[LIVE], samples[SPOOF], anti_spoofing=anti_spoofing)
    asked = {"model": "any", "img1": pictures_of[LIVE], "img2": pictures_of[SPOOF], "anti_spoofing": anti_spoofing}
    got = ask.post("/v1/face/verify", json=asked).json()
    assert got.pop("processing_time_ms") > 0
    liveness = {key: got.pop(key) for key in liveness_keys(got)}
    assert got == {
        "verified": expected.verified,
        "distance": expected.distance,
        "threshold": expected.threshold,
        "confidence": expected.confidence,
        "model": "mobileface",
        "img1_area": area(expected.box_1),
        "img2_area": area(expected.box_2),
        "img1_face_count": 1,
        "img2_face_count": 1,
    }
    assert got["verified"] is not anti_spoofing
    if anti_spoofing:
        assert liveness == {
            "img1_is_real": True,
            "img1_antispoof_score": expected.antispoof_score_1,
            "img2_is_real": False,
            "img2_antispoof_score": expected.antispoof_score_2,
        }
    else:
        assert not liveness


@pytest.mark.parametrize("anti_spoofing", [False, True])
def test_an_analysis_is_the_one_that_triton_gives(server, ask, pictures_of, samples, anti_spoofing):
    with FaceClient(server.grpc) as client:
        (expected,) = client.analyze(samples[LIVE], anti_spoofing=anti_spoofing)
    got = ask.post("/v1/face/analyze", json={"img": pictures_of[LIVE], "anti_spoofing": anti_spoofing}).json()
    (face,) = got["faces"]
    assert got["model"] == "mobileface"
    assert face["region"] == area(expected.box)
    assert face["face_confidence"] == expected.score
    assert face["landmarks"] == [list(point) for point in expected.landmarks]
    assert (face.get("is_real"), face.get("antispoof_score")) == (expected.is_real, expected.antispoof_score)
    assert liveness_keys(got) == (["is_real", "antispoof_score"] if anti_spoofing else [])


def test_an_embedding_and_boxes_are_the_ones_that_triton_gives(server, ask, pictures_of, samples):
    with FaceClient(server.grpc) as client:
        faces = client.analyze(samples[LIVE])
    (expected,) = faces
    assert ask.post("/v1/face/embed", json={"img": pictures_of[LIVE]}).json() == {
        "embedding": expected.embedding.tolist(),
        "dim": len(expected.embedding),
        "face_count": 1,
        "model": "mobileface",
        "embedding_digest": faces.model.embedding_digest,
    }
    x1, y1, x2, y2 = expected.box
    assert ask.post("/v1/detection", json={"image": pictures_of[LIVE], "model": "any"}).json() == {
        "detections": [
            {
                "x": x1,
                "y": y1,
                "width": x2 - x1,
                "height": y2 - y1,
                "confidence": expected.score,
                "class_name": "face",
            }
        ]
    }
    assert ask.post("/v1/detection", json={"image": pictures_of[LIVE], "threshold": 1}).json() == {"detections": []}


def test_a_picture_without_a_face_has_no_faces(ask):
    assert ask.post("/v1/face/analyze", json={"img": in_base64(blank())}).json()["faces"] == []


def test_base64_data_uri_and_upload_are_the_same_picture(ask, pictures_of, samples):
    broken = "\n".join(pictures_of[LIVE][start : start + 76] for start in range(0, len(pictures_of[LIVE]), 76))
    file = (LIVE, samples[LIVE].read_bytes(), "image/jpeg")
    answers = [
        ask.post("/v1/face/analyze", **each)
        for each in (
            {"json": {"img": pictures_of[LIVE], "anti_spoofing": True}},
            {"json": {"img": broken + "\n", "anti_spoofing": True}},
            {"json": {"img": f"data:image/png;base64,{pictures_of[LIVE]}", "anti_spoofing": True}},
            {"files": {"img": file}, "data": {"anti_spoofing": "true", "actions": '["age"]'}},
            {"files": {"img": (None, pictures_of[LIVE]), "anti_spoofing": (None, "true")}},
        )
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert answers[0].json()["faces"][0]["is_real"] is True


@pytest.mark.usefixtures("nobody")
def test_a_person_is_registered_identified_and_forgotten(ask, pictures_of, samples):
    ada = ask.post(
        "/v1/face/register",
        json={
            "img": pictures_of[LIVE],
            "name": "Äda 阿达 🙂",
            "labels": {"team": "engines, \u00e9"},
            "anti_spoofing": True,
        },
    ).json()
    assert ada["name"] == "Äda 阿达 🙂"
    assert ada["registered_at"].endswith("Z")
    assert ada["is_real"] is True
    again = ask.post("/v1/face/register", files={"img": samples[LIVE].read_bytes()}, data={"id": ada["id"]}).json()
    assert again == {**(person := {key: ada[key] for key in ("id", "name", "registered_at")}), "face_count": 1}
    (listed,) = ask.get("/v1/face/people").json()["people"]
    assert listed == {**person, "labels": {"team": "engines, é"}, "photos": 2}

    found = ask.post("/v1/face/identify", json={"img": pictures_of[LIVE], "store": ""}).json()
    assert not liveness_keys(found)
    (match,) = found["matches"]
    assert match["distance"] < 1e-5
    assert match["confidence"] > 99
    assert {key: match[key] for key in ("id", "name", "labels", "match")} == {
        "id": ada["id"],
        "name": "Äda 阿达 🙂",
        "labels": {"team": "engines, é"},
        "match": True,
    }
    assert ask.post("/v1/face/forget", json={"id": ada["id"]}).status_code == 204
    refused(ask.post("/v1/face/forget", json={"id": ada["id"]}), 404, "NOT_FOUND", "id")
    refused(ask.post("/v1/face/register", json={"img": pictures_of[LIVE], "id": ada["id"]}), 404, "NOT_FOUND", "id")
    assert ask.post("/v1/face/identify", json={"img": pictures_of[LIVE]}).json()["matches"] == []


@pytest.mark.usefixtures("nobody")
def test_a_photo_of_a_photo_is_neither_registered_nor_identified(ask, pictures_of):
    spoof = {"img": pictures_of[SPOOF], "anti_spoofing": True}
    refused(ask.post("/v1/face/register", json={**spoof, "name": "Eve"}), 422, "NOT_LIVE", "img")
    assert ask.get("/v1/face/people").json()["people"] == []
    assert ask.post("/v1/face/register", json={"img": pictures_of[SPOOF], "name": "Eve"}).status_code == 200
    found = ask.post("/v1/face/identify", json=spoof).json()
    assert (found["matches"], found["is_real"]) == ([], False)
    assert found["antispoof_score"] < 0.5
    assert ask.post("/v1/face/identify", json={"img": pictures_of[SPOOF]}).json()["matches"][0]["match"]


@pytest.mark.usefixtures("nobody")
def test_people_are_listed_page_by_page(ask, pictures_of):
    names = [f"person {number}" for number in range(5)]
    for name in names:
        assert ask.post("/v1/face/register", json={"img": pictures_of[LIVE], "name": name}).status_code == 200
    seen, token = [], ""
    for _ in range(3):
        page = ask.get("/v1/face/people", params={"page_size": 2, "page_token": token}).json()
        seen += [person["name"] for person in page["people"]]
        token = page["next_page_token"]
    assert token == ""
    assert sorted(seen) == names
    refused(ask.get("/v1/face/people?page_size=0"), 400, "INVALID_ARGUMENT", "page_size")
    refused(ask.get("/v1/face/people?page_token=%21"), 400, "INVALID_ARGUMENT", "page_token")
    refused(ask.get("/v1/face/people?page_sise=2"), 400, "INVALID_ARGUMENT", "page_sise")


@pytest.mark.usefixtures("nobody")
def test_two_people_who_look_the_same_are_ambiguous(ask, pictures_of):
    for name in ("one", "other"):
        ask.post("/v1/face/register", json={"img": pictures_of[LIVE], "name": name})
    found = ask.post("/v1/face/identify", json={"img": pictures_of[LIVE], "margin": 0.1, "top_k": 1}).json()
    assert found["ambiguous"]
    assert [match["match"] for match in found["matches"]] == [False]


def test_the_pages_and_their_files_are_there(ask):
    page = ask.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "camera=(self)" in page.headers["permissions-policy"]
    again = ask.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    docs = ask.get("/docs")
    assert "http" not in docs.text.removeprefix("<!doctype html>")
    for answer in (page, docs, ask.get("/nothing"), ask.get("/v1/face/people")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe-eval" not in answer.headers["content-security-policy"]
    assert ask.get("/v1/face/people").headers["cache-control"] == "no-store"
