"""Whether a served net's answers are the right input's: on a real Triton, and that a wrong one is noticed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from benchmarks.gpu import served as gpu_served
from benchmarks.gpu.asked import asked_of
from facegate.build.checks.pictures import Pictures
from facegate.build.target import Precision
from facegate_ensemble.runtime.onnx.runner import OnnxInferer

NETS = ["face_detector", "face_detector_256x256", "face_recognizer", "minifasnet_v2", "minifasnet_v1se"]


@pytest.fixture(scope="module")
def asked(pack, repository, samples):
    return asked_of(pack, OnnxInferer(repository, pack.nets), Pictures(tuple(samples.values())))


def test_three_pictures_give_every_net_inputs_whose_answers_cannot_be_mistaken(asked):
    assert list(asked) == NETS
    for each in asked.values():
        assert len({row.tobytes() for row in each.inputs}) == 24
        assert min(each.to_next) > 2 * gpu_served.LIMITS[each.unit]


def test_each_net_of_a_real_server_answers_what_the_cpu_does(asked, bls_server, monkeypatch):
    monkeypatch.setattr(gpu_served, "CALLERS", 3)
    found = {}
    gpu_served.held(bls_server.grpc, asked, Precision.fp32, False, 0, found)
    assert found["right"], [net["told"] for net in found["nets"].values()]
    assert (found["backend"], found["native"], found["triton"]) == ("onnxruntime", False, "2.51.0")
    detector, recognizer = found["nets"]["face_detector"], found["nets"]["face_recognizer"]
    assert (detector["batches"], recognizer["batches"]) == ([1, 2, 3, 4, 7, 8], [1, 2, 3, 4, 7, 8, 32])
    for net in found["nets"].values():
        assert (net["inputs"], net["callers"], net["neighbours_not_told_apart"]) == (24, 3, 0)
        assert net["requests"] == 24 + (1 + 3) * len(net["batches"])
        assert net["answers"] == 24 + (1 + 3) * sum(net["batches"])
        assert net["largest_difference"] <= net["limit"]


@pytest.mark.parametrize("net", NETS)
def test_a_real_server_whose_answer_is_the_request_befores_is_caught(asked, bls_server, monkeypatch, net):
    monkeypatch.setattr(gpu_served, "Triton", RequestBefore)
    monkeypatch.setattr(gpu_served, "CALLERS", 1)
    monkeypatch.setattr(gpu_served, "BATCHES", (1, 2))
    monkeypatch.setattr(RequestBefore, "full_batch", lambda self, net: asyncio.sleep(0, 2))
    found = {}
    gpu_served.held(bls_server.grpc, {net: asked[net]}, Precision.fp32, False, 0, found)
    assert found["right"] is False
    assert found["nets"][net]["anothers"] >= 23, "all but the first of those that were asked one by one"
    assert (
        found["nets"][net]["told"][0] == "one after another, batch of 1, row 1: the answer to input 1, not to input 2"
    )


class RequestBefore(gpu_served.Triton):
    """A server that answers with the outputs of the request before, where that was as large."""

    before = None

    async def infer(self, net, batch):
        answers = await super().infer(net, batch)
        before, self.before = self.before, answers
        return before if before and all(len(before[name]) == len(batch) for name in before) else answers


class Right:
    """Nets that answer what is expected."""

    def __init__(self, asked):
        self._expected = {
            (net, row.tobytes()): expected
            for net, each in asked.items()
            for row, expected in zip(each.inputs, each.expected, strict=True)
        }

    async def full_batch(self, net):
        return 16

    async def infer(self, net, batch):
        await asyncio.sleep(0)
        rows = [self._expected[net, row.tobytes()] for row in batch]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class OnceInAWhile(Right):
    """Two callers' answers swapped, once."""

    count = 0

    async def infer(self, net, batch):
        answers = await super().infer(net, batch)
        self.count += 1
        if self.count == 50:
            answers = {name: values[::-1].copy() for name, values in answers.items()}
            assert len(batch) > 1
        return answers


class Differs(Right):
    """One row, the last, is something else."""

    def __init__(self, asked, output, value):
        super().__init__(asked)
        self.output, self.value = output, value

    async def infer(self, net, batch):
        answers = await super().infer(net, batch)
        if self.output in answers:
            answers[self.output][-1] = self.value(answers[self.output][-1])
        return answers


class Refuses(Right):
    async def infer(self, net, batch):
        if len(batch) == 7:
            raise InferenceServerException("CUDA error: out of memory")
        return await super().infer(net, batch)


class Cuts(Right):
    async def infer(self, net, batch):
        answers = await super().infer(net, batch)
        return {name: values[: max(1, len(batch) - 1)] for name, values in answers.items()}


class Keeps(Right):
    async def infer(self, net, batch):
        return dict.fromkeys(await super().infer(net, batch))


def measured(served, asked, monkeypatch):
    monkeypatch.setattr(gpu_served, "CALLERS", 3)
    found = {}
    asyncio.run(gpu_served.measure(served, asked, Precision.fp32, 0, found))
    return found


def wrong(found):
    return {net: each["wrong"] for net, each in found["nets"].items() if each["wrong"]}


def test_right_answers_are_right(asked, monkeypatch):
    found = measured(Right(asked), asked, monkeypatch)
    assert found["right"] is True and wrong(found) == {}


def test_answers_that_are_swapped_once_are_caught(asked, monkeypatch):
    net = {"face_recognizer": asked["face_recognizer"]}
    found = measured(OnceInAWhile(net), net, monkeypatch)
    assert found["right"] is False
    each = found["nets"]["face_recognizer"]
    assert each["anothers"] == each["wrong"] >= 1 and "the answer to input" in each["told"][0]
    assert each["told"][0].startswith("3 callers, batch of ")


@pytest.mark.parametrize(
    ("net", "output", "value"),
    [
        ("face_detector", "BOXES", lambda row: row + 1.5),
        ("face_detector", "LANDMARKS", lambda row: row - 1.5),
        ("face_detector", "LANDMARKS", lambda row: row * np.nan),
        ("face_detector", "SCORES", lambda row: row * 0),
        ("face_detector", "SCORES", lambda row: row * np.nan),
        ("face_recognizer", "EMBEDDINGS", lambda row: row * 0),
        ("face_recognizer", "EMBEDDINGS", lambda row: row * 2),
        ("face_recognizer", "EMBEDDINGS", lambda row: row * np.nan),
    ],
)
def test_an_answer_that_is_nobodys_is_caught(asked, monkeypatch, net, output, value):
    found = measured(Differs(asked, output, value), {net: asked[net]}, monkeypatch)
    each = found["nets"][net]
    assert each["beyond_limit"] + each["anothers"] >= each["requests"] // 2


def test_a_liveness_net_that_says_the_same_of_all_is_caught(asked, monkeypatch):
    found = measured(Differs(asked, "PROBABILITIES", lambda row: np.array([0, 1, 0])), asked, monkeypatch)
    assert set(wrong(found)) == {"minifasnet_v2", "minifasnet_v1se"}


def test_answers_that_do_not_come_or_are_cut_are_wrong_with_their_reason(asked, monkeypatch):
    net = {"minifasnet_v2": asked["minifasnet_v2"]}
    each = measured(Refuses(net), net, monkeypatch)["nets"]["minifasnet_v2"]
    assert each["not_answered"] == each["wrong"] == 1 + 3
    assert "batch of 7: no answer:" in each["told"][0] and "CUDA error: out of memory" in each["told"][0]
    each = measured(Cuts(net), net, monkeypatch)["nets"]["minifasnet_v2"]
    assert each["told"][0] == "one after another, batch of 2: PROBABILITIES is float32 [1, 3], not float32 [2, 3]"
    each = measured(Keeps(net), net, monkeypatch)["nets"]["minifasnet_v2"]
    assert each["not_answered"] == each["requests"]


def test_a_reference_that_is_the_request_befores_is_caught(asked, monkeypatch):
    shifted = {net: replace(each, expected=(each.expected[-1], *each.expected[:-1])) for net, each in asked.items()}
    found = measured(Right(asked), shifted, monkeypatch)
    assert set(wrong(found)) == set(NETS)
    assert all(each["anothers"] >= 23 for each in found["nets"].values())
