"""Who is said to appear, and when: never a person verified whose liveness was asked for and not found."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.cameras.frame import Frame
from facegate.cameras.records import AppearanceRecord
from facegate.cameras.sighting import Sighting
from facegate.cameras.watch.people import People, Reference
from facegate.cameras.watch.watch import UNSURE_S, Match, Watch
from facegate_client import Face

LANDMARKS = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))
NETS = "a" * 64
ANNA, BERT = 0.0, 90.0  # degrees: embeddings here are of two dimensions
THRESHOLD = 0.4  # about 53 degrees


def towards(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


def reference(person: str, degrees: float, is_real: bool | None = None) -> Reference:
    liveness: dict[str, Any] = {} if is_real is None else {"is_real": is_real, "antispoof_score": float(is_real)}
    face = Face((0.0, 0.0, 100.0, 100.0), 0.9, LANDMARKS, embedding=towards(degrees), **liveness)
    return Reference(person, Path(f"{person}.jpg"), face)


def people(*references: Reference, anti_spoofing: bool = False, nets: str = NETS) -> People:
    return People(references, THRESHOLD, anti_spoofing, nets)


def plain() -> People:
    return people(reference("anna", ANNA), reference("bert", BERT))


def with_liveness(anna: bool = True, bert: bool = True) -> People:
    return people(reference("anna", ANNA, anna), reference("bert", BERT, bert), anti_spoofing=True)


def sighting(degrees: float | None, is_real: bool | None = None, track: int = 1, nets: str = NETS) -> Sighting:
    return Sighting(
        track=track,
        face=Face((0.0, 0.0, 100.0, 100.0), 0.9, LANDMARKS),
        quality=0.5,
        is_real=is_real,
        antispoof_score=None if is_real is None else float(is_real),
        embedding=None if degrees is None else towards(degrees),
        embedding_digest=None if degrees is None else nets,
    )


def frame(index: int = 0) -> Frame:
    return Frame(index, index / 10, 1e9 + index / 10, index / 10, np.zeros((2, 2, 3), np.uint8))


class Looking:
    """A watch, and all that it says of one camera."""

    def __init__(self, people: People) -> None:
        self.watch = Watch(people)
        self.index = 0

    def __call__(self, *arguments: Any, camera: str = "door", **options: Any) -> Match:
        self.index += 1
        return self.watch.look(camera, frame(self.index), sighting(*arguments, **options))

    def line(self, *arguments: Any, **options: Any) -> AppearanceRecord | None:
        return self(*arguments, **options).appearance


def test_one_line_for_an_appearance() -> None:
    look = Looking(plain())
    first = look(ANNA + 10)
    assert first.who == "anna"
    assert first.distance == pytest.approx(1 - np.cos(np.radians(10)), abs=1e-6)
    assert first.appearance == AppearanceRecord(
        camera="door",
        wall_s=1e9 + 0.1,
        frame=1,
        media_s=0.1,
        track=1,
        who="anna",
        distance=first.distance,
        threshold=THRESHOLD,
        verified=True,
        is_real=None,
        antispoof_score=None,
        revised=False,
    )
    assert look(ANNA + 5) == Match("anna", pytest.approx(1 - np.cos(np.radians(5)), abs=1e-6))
    assert look.line(ANNA, track=2) is not None
    assert look.line(ANNA, camera="yard") is not None


def test_nobody_near_is_nobody() -> None:
    look = Looking(plain())
    stranger = look(-90.0)
    assert (stranger.who, stranger.appearance) == (None, None)
    assert stranger.distance == pytest.approx(1.0, abs=1e-6)
    assert look(None) == Match()


def test_a_distance_of_the_threshold_is_not_near_enough() -> None:
    exact = People((reference("anna", ANNA),), 1.0 - float(np.dot(towards(ANNA), towards(60))), False, NETS)
    assert Looking(exact)(60).who is None


def test_with_liveness_nothing_is_said_before_the_verdict() -> None:
    look = Looking(with_liveness())
    assert look(ANNA).who == "anna"
    assert look.line(ANNA) is None
    line = look.line(ANNA, True)
    assert line is not None
    assert (line.verified, line.is_real, line.revised) == (True, True, False)


@pytest.mark.parametrize(("track", "photo"), [(False, True), (True, False), (False, False)])
def test_a_fake_on_either_side_vetoes(track: bool, photo: bool) -> None:
    line = Looking(with_liveness(anna=photo)).line(ANNA, track)
    assert line is not None
    assert (line.who, line.verified, line.is_real) == ("anna", False, track)


def test_a_second_photo_that_is_live_verifies() -> None:
    both = people(reference("anna", ANNA, False), reference("anna", ANNA + 40, True), anti_spoofing=True)
    near_both = Looking(both).line(ANNA + 1, True)
    assert near_both is not None and near_both.verified
    near_the_fake_alone = Looking(both).line(ANNA - 40, True)
    assert near_the_fake_alone is not None and not near_the_fake_alone.verified


def test_a_live_photo_of_somebody_else_does_not_verify() -> None:
    twins = people(reference("anna", ANNA, False), reference("bert", ANNA + 10, True), anti_spoofing=True)
    line = Looking(twins).line(ANNA, True)
    assert line is not None
    assert (line.who, line.verified) == ("anna", False)


def test_a_verdict_that_turns_is_withdrawn() -> None:
    look = Looking(with_liveness())
    look(ANNA, True)
    line = look.line(ANNA, False)
    assert line is not None
    assert (line.who, line.verified, line.is_real, line.revised) == ("anna", False, False, True)


def test_a_pause_in_the_verdict_says_nothing() -> None:
    look = Looking(with_liveness())
    assert look.line(ANNA, True) is not None
    assert [look.line(ANNA), look.line(None), look.line(ANNA, True)] == [None, None, None]
    assert look.line(ANNA) is None
    withdrawn = look.line(ANNA, False)
    assert withdrawn is not None and withdrawn.revised


def test_who_was_verified_and_stays_unchecked_is_withdrawn() -> None:
    look = Looking(with_liveness())
    assert look.line(ANNA, True) is not None
    lines = [line for _ in range(100) if (line := look.line(ANNA, None))]
    assert [(line.who, line.verified, line.is_real, line.revised) for line in lines] == [("anna", False, None, True)]
    assert lines[0].media_s == pytest.approx(0.2 + UNSURE_S)
    again = look.line(ANNA, True)
    assert again is not None and again.verified and again.revised


def test_the_newest_judgement_must_be_near_to_be_verified_and_the_mean_to_stay_so() -> None:
    look = Looking(with_liveness())
    far = replace(sighting(ANNA, True), newest=towards(ANNA - 60))
    assert look.watch.look("door", frame(1), far).who is None
    near = replace(far, newest=towards(ANNA + 10))
    assert look.watch.look("door", frame(2), near).appearance is not None
    assert look.watch.look("door", frame(3), far) == Match("anna", pytest.approx(0, abs=1e-6))
    gone = look.watch.look("door", frame(4), replace(far, embedding=towards(ANNA - 60))).appearance
    assert gone is not None and not gone.verified


def test_who_goes_out_of_reach_is_withdrawn_once() -> None:
    look = Looking(plain())
    look(ANNA)
    gone = look(-90.0)
    assert gone.who is None
    line = gone.appearance
    assert line is not None
    assert (line.who, line.verified, line.revised) == ("anna", False, True)
    assert line.distance >= line.threshold
    assert look.line(-90.0) is None


def test_another_person_is_said() -> None:
    look = Looking(plain())
    look(ANNA)
    line = look.line(BERT)
    assert line is not None
    assert (line.who, line.verified, line.revised) == ("bert", True, True)


def test_a_forgotten_track_begins_anew_and_gives_what_was_found_last() -> None:
    look = Looking(plain())
    found = look(ANNA)
    assert look.watch.forget("door", 1) == replace(found, appearance=None)
    assert look.watch.forget("door", 1) == Match()
    line = look.line(ANNA)
    assert line is not None and not line.revised


def test_a_track_whose_embedding_was_dropped_ends_as_nobody() -> None:
    look = Looking(plain())
    look(ANNA)
    look(None)
    assert look.watch.forget("door", 1) == Match()


def test_embeddings_of_other_nets_are_not_compared() -> None:
    look = Looking(plain())
    assert look.watch.stale("b" * 64) and not look.watch.stale(NETS)
    assert look(ANNA, nets="b" * 64) == Match()
    look.watch.renew(replace_nets(plain(), "b" * 64))
    assert look(ANNA, nets="b" * 64).who == "anna"
    assert look(ANNA, nets=NETS) == Match()


def replace_nets(old: People, nets: str) -> People:
    return people(*old.references, anti_spoofing=old.anti_spoofing, nets=nets)


def test_what_was_said_outlasts_new_references() -> None:
    look = Looking(plain())
    look(ANNA)
    look.watch.renew(plain())
    assert look.line(ANNA) is None
    look.watch.renew(people(reference("bert", BERT)))
    assert look.line(ANNA) is None
    assert look.line(BERT) is not None


VERDICTS = st.sampled_from([None, False, True])
ANGLES = st.one_of(st.none(), st.integers(-180, 180).map(float))


@given(
    st.tuples(st.booleans(), st.booleans()),
    st.booleans(),
    st.lists(st.tuples(ANGLES, VERDICTS, st.integers(1, 2)), max_size=30),
)
def test_nobody_is_verified_without_the_liveness_that_was_asked_for(
    photos: tuple[bool, bool], anti_spoofing: bool, course: list[tuple[float | None, bool | None, int]]
) -> None:
    look = Looking(with_liveness(*photos) if anti_spoofing else plain())
    real_photos = dict(zip(("anna", "bert"), photos, strict=True))
    lines: dict[int, list[AppearanceRecord]] = {1: [], 2: []}
    for degrees, is_real, track in course:
        match = look(degrees, is_real, track=track)
        line = match.appearance
        assert (match.who is None) or match.distance < THRESHOLD
        if line is None:
            continue
        lines[track].append(line)
        assert line.is_real is is_real
        assert not anti_spoofing or is_real is not None
        if line.verified:
            assert line.distance < THRESHOLD
            assert match.who == line.who
            assert not anti_spoofing or (is_real is True and real_photos[line.who])
    for said in lines.values():
        assert [line.revised for line in said] == [False, *[True] * (len(said) - 1)][: len(said)]
        for before, after in pairwise(said):
            assert (before.who, before.verified) != (after.who, after.verified)


@given(st.lists(st.tuples(ANGLES, VERDICTS), min_size=1, max_size=30), st.booleans())
def test_the_last_line_is_what_a_verification_would_say_now(
    course: list[tuple[float | None, bool | None]], anti_spoofing: bool
) -> None:
    look = Looking(with_liveness() if anti_spoofing else plain())
    last: AppearanceRecord | None = None
    for degrees, is_real in course:
        match = look(degrees, is_real)
        last = match.appearance or last
        if degrees is None or (anti_spoofing and is_real is None):
            continue
        now = match.who is not None and (is_real is True or not anti_spoofing)
        assert (last is not None and last.verified) == now
        if now:
            assert last is not None and last.who == match.who
