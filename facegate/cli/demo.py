"""`make demo`: a real server from nothing, two photos verified, a photo of a photo vetoed, a picture to look at."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2

from facegate.build.build import fetch_pack
from facegate.build.paths import BUILD
from facegate.cli.console import one_line, say
from facegate.cli.options import DEFAULT_PACK
from facegate.cli.running import running_server
from facegate.errors import ServeError
from facegate.packs.shipped import pack_named
from facegate_client import FaceClient, Verification
from facegate_client.draw import annotate, side_by_side
from facegate_client.imaging.image import decode

OUT = BUILD / "demo"

LIVE, SPOOF = "image_T1.jpg", "image_F2.jpg"
ACTS = (
    ("a photo of a person against a photo of a photo of that person, liveness not checked", LIVE, SPOOF, False),
    ("the same two, liveness checked", LIVE, SPOOF, True),
    ("the photo of a photo against itself, liveness checked", SPOOF, SPOOF, True),
    ("the live photo against itself, liveness checked", LIVE, LIVE, True),
)


def main() -> None:
    """Run the demo; exit status 1 and one line when it cannot be run or does not show what it should."""
    with one_line():
        samples = fetch_pack(pack_named(DEFAULT_PACK))
        OUT.mkdir(parents=True, exist_ok=True)
        with running_server() as (address, _), FaceClient(address, timeout_s=30) as client:
            verdicts = [_act(client, samples, *act) for act in ACTS]
            _draw(client, [samples[LIVE], samples[SPOOF]])
        (OUT / "verdicts.json").write_text(json.dumps(verdicts, indent=2) + "\n", encoding="utf-8")
        say(
            f"verdicts in {os.path.relpath(OUT / 'verdicts.json')}, picture in {os.path.relpath(OUT / 'annotated.png')}"
        )
        if [verdict["verified"] for verdict in verdicts] != [True, False, False, True]:
            raise ServeError("the verdicts are not the expected ones: verified, vetoed, vetoed, verified")


def _act(client: FaceClient, samples: dict[str, Path], what: str, a: str, b: str, liveness: bool) -> dict[str, Any]:
    verdict = client.verify(samples[a], samples[b], anti_spoofing=liveness)
    print(f"\n{what}:\n  {_in_words(verdict)}")
    return {
        "images": [a, b],
        "verified": verdict.verified,
        "distance": verdict.distance,
        "threshold": verdict.threshold,
        "is_real": [verdict.is_real_1, verdict.is_real_2] if liveness else None,
        "antispoof_score": [verdict.antispoof_score_1, verdict.antispoof_score_2] if liveness else None,
    }


def _in_words(verdict: Verification) -> str:
    text = f"distance {verdict.distance:.3f}, threshold {verdict.threshold:.3f}"
    if verdict.is_real_1 is None:
        text += "; liveness not checked"
    else:
        text += f"; P(real) {verdict.antispoof_score_1:.3f} and {verdict.antispoof_score_2:.3f}"
    if verdict.not_live:
        return f"VETOED   {text}"
    return f"{'VERIFIED' if verdict else 'NOT VERIFIED'} {text}"


def _draw(client: FaceClient, pictures: list[Path]) -> None:
    drawn = []
    for picture in pictures:
        faces = client.analyze(picture, anti_spoofing=True, embeddings=False)
        drawn.append(annotate(decode(picture.read_bytes()), faces))
    cv2.imwrite(str(OUT / "annotated.png"), side_by_side(*drawn))


if __name__ == "__main__":
    main()
