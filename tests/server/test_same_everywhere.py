"""One picture, the same faces: in Triton in-process, in Triton by BLS, and in a plain process."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble import handlers
from ensemble.onnx_inferer import OnnxInferer
from ensemble.pipeline import Pipeline
from support.wire import encoded, infer

PICTURES = ("liveness/image_T1.jpg", "liveness/image_F1.jpg", "detection/t1.jpg", "detection/bald_guys.jpg")


@pytest.fixture(params=["in-process", "BLS"])
def served(request):
    return request.getfixturevalue("server" if request.param == "in-process" else "bls_server")


@pytest.fixture(scope="module")
def pipeline(pack, repository):
    return Pipeline(pack, OnnxInferer(repository, pack.nets))


@pytest.mark.parametrize("picture", PICTURES)
def test_analysis(served, pipeline, pictures, picture):
    image = encoded("IMAGE", pictures / picture)
    there = infer("grpc", served.grpc, "face_analyze", [image], anti_spoofing=True).outputs
    here = handlers.analyze(pipeline, dict([image]), '{"anti_spoofing": true}')
    assert set(there) == set(here)
    assert len(there["BOXES"]) == len(here["BOXES"]) > 0
    assert np.abs(there["BOXES"] - here["BOXES"]).max() <= 0.5
    assert np.sum(there["EMBEDDINGS"] * here["EMBEDDINGS"], axis=1).min() >= 0.9999
    assert np.abs(there["ANTISPOOF_SCORE"] - here["ANTISPOOF_SCORE"]).max() <= 1e-3
    assert np.array_equal(there["IS_REAL"], here["IS_REAL"])


def test_verification(served, pipeline, samples):
    pair = [encoded("IMAGE_1", samples["image_T1.jpg"]), encoded("IMAGE_2", samples["image_F1.jpg"])]
    there = infer("grpc", served.grpc, "face_verify", pair, anti_spoofing=True).outputs
    here = handlers.verify(pipeline, dict(pair), '{"anti_spoofing": true}')
    assert set(there) == set(here)
    for name in set(there) - {"PROCESSING_TIME_MS", "MODEL"}:
        assert np.allclose(there[name], here[name], rtol=1e-4, atol=1e-3), name


def test_the_nets_are_models_of_their_own(server, pipeline, samples):
    """Whoever wants a single net gets it, batched, from the same server."""
    crops = np.random.default_rng(5).integers(0, 256, (5, 80, 80, 3), dtype=np.uint8)
    there = infer("grpc", server.grpc, "minifasnet_v2", [("CROPS", crops)]).outputs["PROBABILITIES"]
    assert there.shape == (5, 3)
    assert np.allclose(there.sum(axis=1), 1, atol=1e-5)
