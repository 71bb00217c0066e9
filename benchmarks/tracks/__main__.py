"""`python -m benchmarks.tracks`: how well the camera pipeline's tracks follow faces, and what they cost and say.

Made scenes, whose truth is known (benchmarks.tracks.scenes), go through the server's own pipeline in this process:
detection of each frame, and liveness and embeddings of the faces that the tracks call due. Takes the labelled pictures
that FACEGATE_MIRROR has in images/. Writes benchmarks/results/tracks.json.
"""

from __future__ import annotations

import json
import os
import platform
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.tracks import scenes as track_scenes
from benchmarks.tracks.scenes import Picture, carried_far, carried_near, held, people_of, picture_at
from benchmarks.tracks.scores import ScoredFrame, Split, score_tracks, score_verdicts
from facegate.cameras.sighting import Sighting
from facegate.cameras.synthetic.scene import Scene
from facegate.cameras.synthetic.source import Synthetic
from facegate.cameras.tracking.tracks import Tracks
from facegate.local.local import open_local
from facegate_client.requests import analysis
from facegate_client.results import Faces

SECONDS, VERDICT_SECONDS = 40, 20
"""Of each scene in which identities, or verdicts, are counted; in its own time."""

FPS = 10.0
"""Of the scenes in which verdicts are counted."""

KINDS = tuple(each.name for each in fields(Split))
_COUNTS = ("missed", "false", "tracks", "false_tracks", "detected", "judged")
_VERDICTS = ("real", "fake", "not_checked", "changes")

CONDITIONS = (("10 fps", 10.0, 0.0), ("5 fps", 5.0, 0.0), ("10 fps, 20 % dropped", 10.0, 0.2))
REALS = ("image_T1.jpg", "true_001.jpg", "true_002.jpg", "true_003.png")
SPOOFS = ("image_F1.jpg", "image_F2.jpg", "fake_001.jpg", "fake_002.jpg", "fake_003.jpg")


class Nets:
    """The server's pipeline in this process."""

    def __init__(self) -> None:
        self._local = open_local(None)

    def analyze(
        self,
        pixels: NDArray[np.uint8],
        *,
        anti_spoofing: bool = False,
        embeddings: bool = False,
        faces: NDArray[np.float32] | None = None,
    ) -> Faces:
        """As FaceClient's."""
        request = analysis(
            pixels, anti_spoofing=anti_spoofing, embeddings=embeddings, min_score=None, max_faces=None, faces=faces
        )
        return request.read(self._local.start(request.call, 60.0).result())


@dataclass(slots=True)
class Followed:
    """A scene, as followed: truth and sightings of each frame, faces detected, and faces sent to be judged.

    `alone` has, in place of the tracks' verdicts, those of each frame by itself; empty where they were not asked for.
    """

    frames: list[ScoredFrame] = field(default_factory=list)
    alone: list[ScoredFrame] = field(default_factory=list)
    detected: int = 0
    judged: int = 0


def follow(nets: Nets, scene: Scene, seconds: float, dropped: float = 0.0, *, alone: bool = False) -> Followed:
    """The first `seconds` of `scene`, of whose frames the share `dropped` never arrives."""
    followed, tracks = Followed(), Tracks(anti_spoofing=True, embeddings=True)
    luck = random.Random(7)  # noqa: S311
    for frame in Synthetic(scene, frames=round(seconds * scene.fps)).frames():
        if luck.random() < dropped:
            continue
        faces = nets.analyze(frame.pixels, anti_spoofing=alone)
        seen = tracks.see(frame, faces)
        judged = None
        if len(seen.due):
            judged = nets.analyze(frame.pixels, anti_spoofing=True, embeddings=True, faces=seen.due)
        truths = scene.truth(frame.index)
        followed.frames.append((truths, tracks.absorb(seen, judged)))
        followed.detected += len(faces)
        followed.judged += len(seen.due)
        if alone:
            verdicts = [Sighting(0, face, 0.0, face.is_real, face.antispoof_score) for face in faces]
            followed.alone.append((truths, verdicts))
    return followed


def main() -> None:
    """Follow, count, report."""
    folder = Path(os.environ.get("FACEGATE_MIRROR", "")) / "images"
    if not folder.is_dir():
        raise SystemExit("benchmarks.tracks: FACEGATE_MIRROR names no directory with images/")
    nets, began = Nets(), time.monotonic()
    people = {name: _with_face(nets, folder / "verification" / name) for name in people_of(folder / "verification")}
    moved = motion(nets, list(people.values()))
    samples = {name: _with_face(nets, folder / "liveness" / name) for name in REALS + SPOOFS}
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "scene_s": SECONDS,
        "verdict_scene_s": VERDICT_SECONDS,
        "motion": moved,
        "verdicts": verdicts(nets, people | samples),
        "took_s": round(time.monotonic() - began),
    }
    out = ROOT / "benchmarks" / "results" / "tracks.json"
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def motion(nets: Nets, people: Sequence[Picture]) -> dict[str, Any]:
    """Identities and cost, by scene and condition, and in all."""
    rows: list[dict[str, Any]] = []
    print(_line("scene", "condition", *KINDS, *_COUNTS), "(of each kind: switches/face-frames)")
    for make in track_scenes.MOTIONS:
        for condition, fps, dropped in CONDITIONS:
            followed = follow(nets, make(people, fps), SECONDS, dropped)
            counts = asdict(score_tracks(followed.frames)) | {"detected": followed.detected, "judged": followed.judged}
            rows.append({"scene": make.__name__, "condition": condition} | counts)
            _print_row(rows[-1])
    total: dict[str, Any] = {"scene": "all", "condition": "all"}
    for count in ("face_frames", "switches"):
        total[count] = {kind: sum(row[count][kind] for row in rows) for kind in KINDS}
    total |= {count: sum(row[count] for row in rows) for count in _COUNTS}
    total["switches_per_1000"] = {
        kind: round(1000 * total["switches"][kind] / max(1, total["face_frames"][kind]), 2) for kind in KINDS
    }
    total["fewer_runs"] = round(total["detected"] / max(1, total["judged"]), 1)
    _print_row(total)
    print("switches per 1,000 face-frames:", total["switches_per_1000"])
    print(f"runs of recognizer and liveness nets: {total['fewer_runs']} x fewer than one for each face in each frame")
    return {"total": total, "scenes": rows}


def verdicts(nets: Nets, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """What was said of pictures whose whole still the nets judge rightly; of the others, their P(real)."""
    excluded: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    print("shown, face:", *_VERDICTS, "(of the tracks | of each frame by itself), judged/detected in the scene")
    for name, (pixels, _) in pictures.items():
        still, spoof = nets.analyze(pixels, anti_spoofing=True)[0], name in SPOOFS
        if still.is_real is spoof:
            excluded[name] = round(still.antispoof_score or 0.0, 3)
            continue
        rows += _judged(nets, name, held(pictures[name], FPS, spoof=spoof))
        if spoof:
            for carried in (carried_near, carried_far):
                scene = carried(pictures[REALS[0]], pictures[name], FPS)
                rows += _judged(nets, f"{name}, {carried.__name__}", scene)
    print("left out, as the nets are wrong about the still picture (P(real)):", excluded)
    return {"excluded": excluded, "scenes": rows}


def _judged(nets: Nets, name: str, scene: Scene) -> list[dict[str, Any]]:
    followed = follow(nets, scene, VERDICT_SECONDS, alone=True)
    tracks, alone = score_verdicts(followed.frames), score_verdicts(followed.alone)
    rows = []
    for face, said in sorted(tracks.items()):
        cost = {"detected": followed.detected, "judged": followed.judged}
        rows.append({"shown": name, "tracks": asdict(said), "frame_by_frame": asdict(alone[face])} | cost)
        each = (" ".join(f"{getattr(score, count):>5}" for count in _VERDICTS) for score in (said, alone[face]))
        print(
            f"{name:<28} {'spoof' if said.spoof else 'real':<6}",
            " | ".join(each),
            f"  {followed.judged}/{followed.detected}",
            flush=True,
        )
    return rows


def _with_face(nets: Nets, path: Path) -> Picture:
    pixels = picture_at(path)
    return pixels, nets.analyze(pixels)[0]


def _print_row(row: Mapping[str, Any]) -> None:
    kinds = (f"{row['switches'][kind]}/{row['face_frames'][kind]}" for kind in KINDS)
    print(_line(row["scene"], row["condition"], *kinds, *(row[count] for count in _COUNTS)), flush=True)


def _line(first: str, second: str, *rest: object) -> str:
    return f"{first:<12} {second:<22}" + " ".join(f"{each!s:>12}" for each in rest)


if __name__ == "__main__":
    main()
