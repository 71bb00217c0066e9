"""`make demo`, as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2

from facegate.cli.demo import OUT
from support.serving import ROOT


def test_two_photos_are_verified_and_a_photo_of_a_photo_is_vetoed(repository, samples):
    (OUT / "verdicts.json").unlink(missing_ok=True)
    (OUT / "annotated.png").unlink(missing_ok=True)
    ended = subprocess.run(
        [sys.executable, "-m", "facegate.cli.demo"], cwd=ROOT, capture_output=True, text=True, timeout=180
    )
    assert ended.returncode == 0, ended.stderr
    assert "VETOED" in ended.stdout
    unchecked, vetoed, itself, live = json.loads((OUT / "verdicts.json").read_text())
    assert (unchecked["verified"], unchecked["is_real"], unchecked["antispoof_score"]) == (True, None, None)
    assert (vetoed["verified"], vetoed["is_real"], vetoed["distance"]) == (False, [True, False], unchecked["distance"])
    assert (itself["verified"], itself["is_real"]) == (False, [False, False])
    assert (live["verified"], live["is_real"]) == (True, [True, True])
    assert cv2.imread(str(OUT / "annotated.png")).shape == (640, 960, 3)
