"""How often the nets run for an image: once for each chunk of a full batch, and one detection for an image."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from ensemble import handlers
from ensemble.onnx_inferer import OnnxInferer
from ensemble.pipeline import Pipeline
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


@pytest.fixture
def runs():
    return {}


@pytest.fixture
def pipeline(pack, repository, runs):
    inferer = OnnxInferer(repository, pack.nets)
    for net, session in inferer._sessions.items():
        session._session = CountedSession(session._session, runs.setdefault(net, []))
    return Pipeline(pack, inferer)


def test_an_image_of_24_faces(pipeline, pictures, runs):
    image = dict([encoded("IMAGE", pictures / "detection/bald_guys.jpg")])
    asyncio.run(handlers.analyze(pipeline, image, '{"anti_spoofing": true}'))
    assert runs.pop("face_detector") == [1]
    assert runs == {net: [8, 8, 8] for net in ("face_recognizer", "minifasnet_v2", "minifasnet_v1se")}


def test_a_last_chunk_that_is_not_full(pipeline, pictures, runs):
    crowd = dict([encoded("IMAGE", pictures / "detection/bald_guys.jpg")])
    asyncio.run(handlers.analyze(pipeline, crowd, '{"anti_spoofing": true, "min_score": 0.0, "max_faces": 70}'))
    assert runs.pop("face_detector") == [1]
    assert {net: Counter(sizes) for net, sizes in runs.items()} == {net: Counter([8] * 8 + [6]) for net in runs}


def test_a_verification_is_one_run_of_each_net_for_both_images(pipeline, samples, runs):
    pair = dict([encoded("IMAGE_1", samples["image_T1.jpg"]), encoded("IMAGE_2", samples["image_F2.jpg"])])
    asyncio.run(handlers.verify(pipeline, pair, '{"anti_spoofing": true}'))
    assert runs == {net: [2] for net in ("face_detector", "face_recognizer", "minifasnet_v2", "minifasnet_v1se")}


def test_what_was_not_asked_for_does_not_run(pipeline, samples, runs):
    asyncio.run(handlers.analyze(pipeline, dict([encoded("IMAGE", samples["image_T1.jpg"])]), '{"embeddings": false}'))
    assert runs == {"face_detector": [1], "face_recognizer": [], "minifasnet_v2": [], "minifasnet_v1se": []}
