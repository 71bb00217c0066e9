from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.cameras.sources.media_clock import MOST_AHEAD_S, MOST_BEHIND_S, MediaClock, RateLimit

STEP_S = 0.04


def test_a_files_own_times_from_its_first_frame_on() -> None:
    clock = MediaClock(live=False)
    assert [clock.at(pts, 0, STEP_S) for pts in (7.0, 7.04, 9.0, 99.0)] == pytest.approx([0, 0.04, 2, 92])


def test_times_that_jump_back_or_are_missing_in_a_file_go_on_by_its_step() -> None:
    clock = MediaClock(live=False)
    times = [clock.at(pts, 0, STEP_S) for pts in (5.0, 5.1, 0.0, 0.1, None, 0.5, 0.6)]
    assert times == pytest.approx([0, 0.1, 0.14, 0.24, 0.28, 0.32, 0.42])


def test_times_without_sense_in_a_live_stream_go_on_by_the_clock() -> None:
    clock = MediaClock(live=True)
    reads = (100.0, 100.1, 100.3, 100.4, 100.9, 101.0)
    given = (50.0, 50.1, 9000.0, 9000.1, None, 3.0)
    times = [clock.at(pts, read, STEP_S) for pts, read in zip(given, reads, strict=True)]
    assert times == pytest.approx([0, 0.1, 0.3, 0.4, 0.9, 1.0])


def test_an_outage_lasts_as_long_as_it_does() -> None:
    clock = MediaClock(live=True)
    clock.at(50.0, 100.0, STEP_S)
    clock.restart()
    assert [clock.at(50.2, 107.0, STEP_S), clock.at(50.3, 107.5, STEP_S)] == pytest.approx([7, 7.1])


def test_a_live_stream_whose_times_crawl_stays_a_second_behind_the_clock() -> None:
    clock = MediaClock(live=True)
    times = [clock.at(frame / 90_000, frame / 25, STEP_S) for frame in range(1501)]  # a tick each
    assert times[-1] == pytest.approx(59)
    assert max(after - before for before, after in pairwise(times)) < 0.05  # and does not leap
    assert clock.at(1500 / 90_000 + 0.1, 60.05, STEP_S) == pytest.approx(59.1)  # its own times count on from there


def test_a_live_stream_whose_times_run_stays_half_a_minute_ahead_of_the_clock() -> None:
    clock = MediaClock(live=True)
    times = [clock.at(9.0 * frame, frame / 25, STEP_S) for frame in range(1501)]
    assert 80 < times[-1] <= 60 + MOST_AHEAD_S


def test_the_segments_of_hls_come_at_once_and_keep_their_times() -> None:
    clock = MediaClock(live=True)
    reads = [max(0, segment - 2) * 6.0 for segment in range(9) for _ in range(150)]  # three, then one every 6 s
    times = [clock.at(frame / 25, read, STEP_S) for frame, read in enumerate(reads)]
    assert times == pytest.approx([frame / 25 for frame in range(len(reads))])


times = st.lists(st.none() | st.floats(-1e6, 1e6), max_size=50)


@given(times, st.booleans(), st.lists(st.floats(0, 60), min_size=50, max_size=50))
def test_times_rise_whatever_the_stream_says(given: list[float | None], live: bool, waits: list[float]) -> None:
    clock = MediaClock(live)
    read_s, told = 1000.0, []
    for pts, wait in zip(given, waits, strict=False):
        read_s += wait
        told.append(clock.at(pts, read_s, STEP_S))
        assert not live or told[-1] - told[0] >= sum(waits[1 : len(told)]) - MOST_BEHIND_S - 1e-6
    assert told == sorted(set(told))


@pytest.mark.parametrize(("source", "limit", "taken"), [(25, 5, 50), (30, 25, 250), (30, 30, 300), (25, 60, 250)])
def test_a_limit_keeps_its_rate(source: int, limit: float, taken: int) -> None:
    rate = RateLimit(limit)
    times = [round(number / source, 3) for number in range(10 * source)]  # as Matroska rounds them
    assert sum(rate.passes(time, 1 / source) for time in times) == taken


def test_a_limit_takes_the_frame_nearest_to_each_due_time() -> None:
    rate = RateLimit(10)
    passed = [number for number in range(21) if rate.passes(number * STEP_S, STEP_S)]
    assert passed == [0, 2, 5, 7, 10, 12, 15, 17, 20]


def test_what_was_due_in_a_gap_is_not_made_up_for() -> None:
    rate = RateLimit(1)
    assert [rate.passes(time, 0.1) for time in (0, 0.5, 7.3, 7.4, 8.0, 8.1)] == [True, False, True, False, True, False]


@given(st.floats(0.1, 200), st.lists(st.floats(0, 3), max_size=200))
def test_no_more_pass_than_the_limit(fps: float, gaps: list[float]) -> None:
    rate, now, passed = RateLimit(fps), 0.0, 0
    for gap in gaps:
        now += gap
        passed += rate.passes(now, STEP_S)
    assert passed <= now * fps + 1.5
