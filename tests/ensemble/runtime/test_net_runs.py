"""How often the nets run for an image: once for each chunk, a lane's share of the faces, and once for a detection."""

from __future__ import annotations

from collections import Counter

import pytest

from facegate.build.checks.pictures import close_up
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.onnx import runner as onnx_inferer
from facegate_ensemble.runtime.onnx import session as onnx_session
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.triton import handlers
from support.wire import encoded


class CountedSession:
    """An ONNX Runtime session that notes the size of each batch it runs."""

    def __init__(self, session, runs):
        self._session, self._runs = session, runs

    def run(self, names, feed):
        self._runs.append(len(next(iter(feed.values()))))
        return self._session.run(names, feed)

    def __getattr__(self, name):
        return getattr(self._session, name)


CROPS = ("face_recognizer", "minifasnet_v2", "minifasnet_v1se")


@pytest.fixture
def runs():
    """The sizes of each net's batches."""
    return {}


@pytest.fixture(params=[1, 2, 8])
def lanes(request, monkeypatch):
    """How many there are: a core each."""
    monkeypatch.setattr(onnx_inferer, "lane_count", lambda: request.param)
    return request.param


@pytest.fixture
def pipeline(pack, repository, lanes, runs, monkeypatch):
    monkeypatch.setattr(onnx_session, "ROWS_AT_ONCE", 8)
    inferer = OnnxInferer(repository, pack.nets)
    for net, session in inferer._sessions.items():
        session._session = CountedSession(session._session, runs.setdefault(net, []))
    return Pipeline(pack, inferer)


def test_an_image_of_24_faces(pipeline, lanes, pictures, runs):
    image = dict([encoded("IMAGE", pictures / "detection/bald_guys.jpg")])
    handlers.analyze(pipeline, image, '{"anti_spoofing": true}')
    assert (runs.pop("face_detector"), runs.pop("face_detector_256x256")) == ([1], [])
    assert runs == {net: [3] * 8 if lanes == 8 else [8] * 3 for net in CROPS}


def test_a_last_chunk_that_is_not_full(pipeline, pictures, runs):
    crowd = dict([encoded("IMAGE", pictures / "detection/bald_guys.jpg")])
    handlers.analyze(pipeline, crowd, '{"anti_spoofing": true, "min_score": 0.0, "max_faces": 70}')
    assert (runs.pop("face_detector"), runs.pop("face_detector_256x256")) == ([1], [])
    assert {net: Counter(sizes) for net, sizes in runs.items()} == {net: Counter({8: 8, 6: 1}) for net in CROPS}


def test_a_verification_is_a_run_of_each_net_on_each_of_two_lanes(pipeline, lanes, samples, runs):
    pair = dict([encoded("IMAGE_1", samples["image_T1.jpg"]), encoded("IMAGE_2", samples["image_F2.jpg"])])
    handlers.verify(pipeline, pair, '{"anti_spoofing": true}')
    assert runs.pop("face_detector") == [1, 1], "side by side or not: two pictures outgrow the caches"
    assert runs.pop("face_detector_256x256") == [], "both have a face at the first look"
    assert runs == {net: [2] if lanes == 1 else [1, 1] for net in CROPS}


def test_what_was_not_asked_for_does_not_run(pipeline, samples, runs):
    handlers.analyze(pipeline, dict([encoded("IMAGE", samples["image_T1.jpg"])]), '{"embeddings": false}')
    assert runs == {"face_detector": [1], "face_detector_256x256": [], **{net: [] for net in CROPS}}


def test_pictures_without_a_face_at_the_first_look_share_a_run_of_the_second(pipeline, lanes, samples, runs):
    photo = decode(samples["image_F1.jpg"].read_bytes())
    filling = close_up(photo, pipeline.analyze(photo, anti_spoofing=False, embeddings=False).faces.boxes[0], 1.5)
    verdict, _, counts = pipeline.verify([filling, filling], threshold=None, anti_spoofing=False)
    assert (counts, verdict.verified) == ([1, 1], True)
    assert runs["face_detector_256x256"] == ([2] if lanes == 1 else [1, 1])
