"""Who is it? Tracks compared with the people to watch for, and their appearances told once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from facegate.cameras.frame import Frame
from facegate.cameras.records import AppearanceRecord
from facegate.cameras.sighting import Sighting
from facegate.cameras.watch.people import Nearest, People


@dataclass(frozen=True, slots=True)
class Match:
    """What a look at a track found.

    `who` is the nearest person where near enough, `distance` the cosine distance to the nearest, 0-2: None where there
    was nothing to compare. `appearance` is the line to write, if there is one.
    """

    who: str | None = None
    distance: float | None = None
    appearance: AppearanceRecord | None = None


UNSURE_S = 3.0
"""Media time after which a person who was verified, and whose track is not checked any more, is so no longer: longer
than a crossing and the three judgements after it take."""


@dataclass(slots=True)
class _Known:
    """Of one track: what the latest look found, and what the latest line claimed, at which distance."""

    match: Match
    said: tuple[str, bool] | None = None  # who, verified
    distance: float = 0.0
    unsure_since: float | None = None  # media time


class Watch:
    """The people to watch for, on any number of cameras; of one thread.

    `verified` is what face_verify would say: near enough, and with anti_spoofing the track and the reference both
    real. To become so takes the newest judgement to be near enough by itself, too; to stay so, the mean. An unchecked
    track is never verified, and says nothing, unless it was verified and stays unchecked for UNSURE_S. A later line
    of a track replaces the ones before.
    """

    def __init__(self, people: People) -> None:
        self._people = people
        self._tracks: dict[tuple[str, int], _Known] = {}

    def look(self, camera: str, frame: Frame, sighting: Sighting) -> Match:
        """Compares one sighting; each camera's in the order of its frames."""
        known = self._tracks.setdefault((camera, sighting.track), _Known(Match()))
        known.match = Match()
        claim, distance = self._compare(known, sighting)
        if claim is not None:
            known.unsure_since = None
        elif self._unsure(known, frame):
            claim, distance = _withdrawn(known), known.distance
        if claim is None or claim == known.said:
            return known.match
        line = self._line(camera, frame, sighting, claim, distance, revised=known.said is not None)
        known.said, known.distance = claim, distance
        return replace(known.match, appearance=line)

    def forget(self, camera: str, track: int) -> Match:
        """The track is over; what the latest look found. To be called for each, or memory grows."""
        known = self._tracks.pop((camera, track), None)
        return Match() if known is None else known.match

    def stale(self, embedding_digest: str) -> bool:
        """Whether the references were made with other nets: they must be loaded anew and given to `renew`."""
        return embedding_digest != self._people.embedding_digest

    def renew(self, people: People) -> None:
        """The references anew. What was said of tracks stands until there is something else to say."""
        self._people = people
        names = {reference.person for reference in people.references}
        for known in self._tracks.values():
            if known.said is not None and known.said[0] not in names:
                known.said = None

    def _compare(self, known: _Known, sighting: Sighting) -> tuple[tuple[str, bool] | None, float]:
        """What may be claimed of a sighting, and the distance that goes with it; notes the match."""
        if sighting.embedding is None or sighting.embedding_digest is None or self.stale(sighting.embedding_digest):
            return None, 0.0
        nearest = self._people.nearest(sighting.embedding)
        near = nearest.distance < self._people.threshold
        if near and sighting.newest is not None and known.said != (nearest.person, True):
            near = self._people.distance(nearest.person, sighting.newest) < self._people.threshold
        known.match = Match(nearest.person if near else None, nearest.distance)
        claim = self._claim(known, nearest, sighting.is_real)
        return claim, 0.0 if claim is None else self._people.distance(claim[0], sighting.embedding)

    def _unsure(self, known: _Known, frame: Frame) -> bool:
        """Whether nothing could be claimed for UNSURE_S of who was verified."""
        if known.unsure_since is None:
            known.unsure_since = frame.media_s
        return frame.media_s - known.unsure_since >= UNSURE_S

    def _claim(self, known: _Known, nearest: Nearest, is_real: bool | None) -> tuple[str, bool] | None:
        """(who, verified), None where there is nothing to say. Who was said and is far by now is not verified."""
        if self._people.anti_spoofing and is_real is None:
            return None
        who = known.match.who
        if who is None:
            return _withdrawn(known)
        return who, nearest.verifiable and (is_real is True or not self._people.anti_spoofing)

    def _line(
        self, camera: str, frame: Frame, sighting: Sighting, claim: tuple[str, bool], distance: float, *, revised: bool
    ) -> AppearanceRecord:
        return AppearanceRecord(
            camera=camera,
            wall_s=frame.wall_s,
            frame=frame.index,
            media_s=frame.media_s,
            track=sighting.track,
            who=claim[0],
            distance=distance,
            threshold=self._people.threshold,
            verified=claim[1],
            is_real=sighting.is_real,
            antispoof_score=sighting.antispoof_score,
            revised=revised,
        )


def _withdrawn(known: _Known) -> tuple[str, bool] | None:
    return None if known.said is None else (known.said[0], False)
