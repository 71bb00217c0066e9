"""A camera's counts add up, and its times are those of the last seconds."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.cameras.latency import BOUNDS, Latencies
from facegate.cameras.sighting import Ended, Sighting
from facegate.cameras.stats import CameraStats
from facegate_client import Face
from support.clock import Clock
from support.made_records import APPEARANCE

FACE = Face((0.0, 0.0, 9.0, 9.0), 0.9, ((1.0, 2.0),) * 5)
UNCHECKED = Sighting(track=1, face=FACE, quality=0.5)
REAL = replace(UNCHECKED, is_real=True, antispoof_score=0.9)
FAKE_NOW = replace(REAL, judgement=replace(FACE, is_real=False, antispoof_score=0.1))
DESCRIBED = replace(UNCHECKED, judgement=FACE)


def test_frames_are_counted_by_what_became_of_them() -> None:
    stats = CameraStats("door")
    for _ in range(7):
        stats.read()
    for _ in range(2):
        stats.dropped()
    for _ in range(5):
        stats.sent()
    for _ in range(3):
        stats.answered(0.1)
    stats.failed("Overloaded")
    stats.failed("Unreachable")
    now = stats.snapshot()
    assert (now.read, now.dropped, now.sent, now.answered, now.failed) == (7, 2, 5, 3, 2)
    assert now.failures == {"Overloaded": 1, "Unreachable": 1}


def test_faces_are_counted_and_tracks_are_those_of_the_latest_frame() -> None:
    stats = CameraStats("door")
    stats.sightings([UNCHECKED, REAL, FAKE_NOW])
    stats.sightings([FAKE_NOW, DESCRIBED])
    now = stats.snapshot()
    assert now.detections == 5
    assert now.judgements == {"real": 0, "fake": 2, "not_checked": 1}
    assert now.tracks == {"real": 1, "fake": 0, "not_checked": 1}
    stats.sightings([])
    assert sum(stats.snapshot().tracks.values()) == 0


def test_each_track_counts_once_by_its_last_verdict() -> None:
    stats = CameraStats("door")
    stats.sightings([UNCHECKED, replace(UNCHECKED, track=2)])
    stats.sightings([REAL])  # track 2 is not seen now, and not over
    assert stats.snapshot().tracks_so_far == {"real": 1, "fake": 0, "not_checked": 1}
    stats.over(over(1, False))
    stats.sightings([replace(REAL, track=3)])
    assert stats.snapshot().tracks_so_far == {"real": 1, "fake": 1, "not_checked": 1}
    stats.over(over(2, None))
    stats.over(over(3, True))
    stats.ended()
    assert stats.snapshot().tracks_so_far == {"real": 1, "fake": 1, "not_checked": 1}


def over(track: int, is_real: bool | None) -> Ended:
    return Ended(track, 0, 9, 0.0, 0.9, 10, 0.5, 3, is_real, None if is_real is None else float(is_real), 3)


def test_state_and_outages() -> None:
    stats = CameraStats("door")
    assert stats.snapshot().state == "starting"
    stats.lost()
    stats.lost()
    assert (stats.snapshot().state, stats.snapshot().outages) == ("lost", 1)
    stats.read()
    assert stats.snapshot().state == "lost"  # until its source says that it is back
    stats.back()
    stats.sightings([REAL])
    assert stats.snapshot().state == "running"
    stats.lost()
    assert stats.snapshot().outages == 2
    assert sum(stats.snapshot().tracks.values()) == 0
    stats.ended()
    assert stats.snapshot().state == "ended"
    stats.failed_for_good()
    assert stats.snapshot().state == "failed"
    first = CameraStats("door")
    first.read()
    assert first.snapshot().state == "running"


def test_appearances_are_counted_by_their_verdict() -> None:
    stats = CameraStats("door")
    for each in (APPEARANCE, APPEARANCE, replace(APPEARANCE, verified=False)):
        stats.appeared(each)
    assert stats.snapshot().appearances == {True: 2, False: 1}


def test_a_snapshot_stays_as_it_was() -> None:
    stats = CameraStats("door")
    stats.failed("Overloaded")
    before = stats.snapshot()
    stats.failed("Overloaded")
    stats.sightings([FAKE_NOW])
    stats.answered(0.1)
    assert before.failures == {"Overloaded": 1}
    assert sum(before.judgements.values()) == sum(before.tracks.values()) == sum(before.latency.buckets) == 0


def test_no_count_is_lost_between_threads() -> None:
    stats = CameraStats("door")

    def work() -> None:
        for _ in range(2_000):
            stats.read()
            stats.failed("Overloaded")
            stats.snapshot()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = stats.snapshot()
    assert (now.read, now.failed, now.failures) == (8_000, 8_000, {"Overloaded": 8_000})


def test_times_are_of_the_last_ten_seconds_and_the_histogram_of_all() -> None:
    clock = Clock()
    stats = CameraStats("door", clock=clock)
    for _ in range(50):
        clock.now += 0.1
        stats.answered(3.0)
    clock.now += 10
    for latency_s in (0.1, 0.2, 0.3, 0.4):
        stats.answered(latency_s)
    latency = stats.snapshot().latency
    assert (latency.p50_s, latency.p95_s) == (0.2, 0.4)
    assert latency.per_second == pytest.approx(0.4)
    assert sum(latency.buckets) == 54
    assert latency.buckets[BOUNDS.index(5.0)] == 50
    assert latency.buckets[BOUNDS.index(0.1)] == 1  # a bound belongs to its bucket, as Prometheus has it
    assert latency.total_s == pytest.approx(151)
    clock.now += 11
    quiet = stats.snapshot().latency
    assert (quiet.p50_s, quiet.p95_s, quiet.per_second) == (None, None, 0.0)


def test_a_camera_that_has_just_begun_has_its_own_rate() -> None:
    clock = Clock()
    stats = CameraStats("door", clock=clock)
    for _ in range(20):
        clock.now += 0.1
        stats.answered(0.01)
    assert stats.snapshot().latency.per_second == pytest.approx(10)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 100)), max_size=60), st.integers(1, 40))
def test_quantiles_are_times_that_were_and_the_rate_no_more_than_them(
    told: list[tuple[float, float]], copies: int
) -> None:
    latencies, now = Latencies(0.0), 0.0
    for step, latency_s in told:
        now += step
        for _ in range(copies):
            latencies.add(now, latency_s)
    found = latencies.snapshot(now)
    assert sum(found.buckets) == len(told) * copies
    assert 0 <= found.per_second <= len(told) * copies
    if found.p50_s is not None and found.p95_s is not None:
        assert {found.p50_s, found.p95_s} <= {latency_s for _, latency_s in told}
        assert found.p50_s <= found.p95_s
    assert (found.p50_s is None) == (not told)


def test_a_fast_file_s_rate_is_right_though_not_all_its_times_are_kept() -> None:
    latencies = Latencies(0.0)
    for number in range(1, 5_001):
        latencies.add(number / 1000, 0.001)
    assert latencies.snapshot(5.0).per_second == pytest.approx(1000, rel=0.01)
