"""The others that we compare with answer what we answer, and are asked and divided as the page says."""

from __future__ import annotations

import threading
from itertools import product

import numpy as np
import pytest

from benchmarks.bench import peers
from benchmarks.bench.good_plain import GoodPlainWay, candidates
from benchmarks.bench.original_nets import OriginalNet
from benchmarks.bench.ours import OurVerification, calls
from benchmarks.bench.peer import Turn, Verdict, turn
from benchmarks.bench.plain import PlainPipeline, PlainWay, plain_way
from facegate.build.checks.reference import Reference
from facegate.errors import ServeError
from facegate_client import contract
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.letterbox import letterbox

YES = Verdict(True, (True, True), 0.0)


NO = Verdict(False, (True, True), 0.9)


@pytest.fixture(scope="module")
def pairs(samples):
    return list(product([path.read_bytes() for path in samples.values()], repeat=2))


def said(way, pair):
    return way.read(way.prepared(pair)())


def test_all_ways_with_our_nets_come_to_the_same_verdicts(server, pack, weights, pairs):
    plain, good = PlainPipeline(pack, weights), GoodPlainWay(pack, weights)
    with calls(server.grpc) as call:
        for pair in pairs:
            ours = said(OurVerification(call), pair)
            assert ours.agrees(said(good, pair))
            assert ours.agrees(plain.verify([decode(data) for data in pair]))


def test_the_plain_server_answers_over_grpc(pairs):
    with plain_way() as way:
        verdicts = [said(way, pair) for pair in pairs]
    assert sum(verdict.verified for verdict in verdicts) == 1  # the live picture with itself


def test_yunets_outputs_are_decoded_as_the_published_net_means_them(pack, weights, samples):
    about = pack.detector
    canvas = letterbox(decode(samples["image_T1.jpg"].read_bytes()), about.height, about.width)[0]
    boxes, scores, landmarks = candidates(OriginalNet(about, weights).run(canvas), about)
    reference = Reference(about, weights[about.file])
    expected = reference.read(reference.raw(canvas))
    count = len(scores)
    assert count > 0
    np.testing.assert_allclose(scores, expected[contract.SCORES][:count], atol=1e-5)
    np.testing.assert_allclose(boxes, expected[contract.BOXES][:count], atol=1e-2)
    np.testing.assert_allclose(landmarks, expected[contract.LANDMARKS][:count], atol=1e-2)
    assert expected[contract.SCORES][count] < about.min_score


class Counting:
    """A way that answers at once, and counts how many callers are in it."""

    def __init__(self, verdict=YES):
        self.verdict, self.inside, self.most = verdict, 0, 0
        self.lock, self.gate = threading.Lock(), threading.Event()

    def prepared(self, pair):
        def call():
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
                if self.inside == 3:
                    self.gate.set()
            self.gate.wait(5)
            with self.lock:
                self.inside -= 1
            return b""

        return call

    def read(self, answer):
        return self.verdict


def test_a_turn_has_as_many_calls_under_way_as_callers():
    way = Counting()
    done = turn(way, (b"", b""), callers=3, seconds=0.01, expected=YES)
    assert way.most == 3 and done.per_second > 0


def test_another_verdict_is_an_error_and_no_throughput():
    with pytest.raises(ServeError, match="are not"):
        turn(Counting(NO), (b"", b""), callers=3, seconds=0.01, expected=YES)


def test_a_call_that_fails_is_an_error():
    way = PlainWay(lambda message: (_ for _ in ()).throw(ConnectionError("gone")))
    with pytest.raises(ConnectionError, match="gone"):
        turn(way, (b"", b""), callers=2, seconds=0.01, expected=YES)


def test_a_ratio_is_of_turns_of_the_same_round_and_is_held_against_what_is_wanted():
    ours = [Turn(30.0, 10.0), Turn(60.0, 5.0), Turn(90.0, 4.0)]
    theirs = [Turn(10.0, 30.0), Turn(20.0, 15.0), Turn(45.0, 8.0)]
    turns = {("FaceGate", 8): ours, ("plain way", 8): theirs}
    row = peers.ratio_row("640x480", peers.RATIOS[0], turns)
    assert row["ratio"] == {"median": 3.0, "low": 2.0, "high": 3.0, "runs": 3}
    assert row["wanted"] == ">= 3" and row["met"] is True
    assert peers.ratio_row("3MP", peers.RATIOS[0], turns)["met"] is False
    assert "wanted" not in peers.ratio_row("1080p", peers.RATIOS[0], turns)


class Same:
    """A way that always says the same."""

    def __init__(self, verdict):
        self.verdict = verdict

    def prepared(self, pair):
        return bytes

    def read(self, answer):
        return self.verdict


def entrants(**others):
    return [peers.Entrant(peers.OURS, Same(YES), (1, peers.MANY)), *others.values()]


def test_what_has_our_nets_has_to_come_near_our_distances():
    far = Verdict(True, (True, True), peers.NEAR * 2)
    with pytest.raises(ServeError, match=r"0\.02 from ours"):
        peers._compared(entrants(plain=peers.Entrant(peers.PLAIN, Same(far))), [(b"", b"")])
