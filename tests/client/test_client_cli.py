"""The command line, as a shell sees it: exit status, stdout, stderr."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from facegate_client import (
    BadImage,
    DeadlineExceeded,
    Face,
    Faces,
    InvalidRequest,
    LivenessUnavailable,
    Model,
    NoFace,
    Overloaded,
    ServerFault,
    Unreachable,
    Verification,
)
from facegate_client.cli import app as cli
from support.fake_triton import FakeTriton, verify_answer

BOX = (10.0, 20.0, 60.0, 80.0)
MODEL = Model("mobileface", "MIT", True, "abc", "e", "fp32", 0.4)
LANDMARKS = ((20.0, 40.0), (50.0, 40.0), (35.0, 50.0), (25.0, 65.0), (45.0, 65.0))


def verification(**changed: Any) -> Verification:
    values: dict[str, Any] = {"verified": True, "distance": 0.25, "threshold": 0.5, "confidence": 50.0}
    values |= {"box_1": BOX, "box_2": BOX, "processing_time_ms": 12.5, "model": MODEL}
    return Verification(**(values | changed))


VETOED = verification(verified=False, is_real_1=True, antispoof_score_1=0.98, is_real_2=False, antispoof_score_2=0.01)
FACES = Faces(
    [
        Face(BOX, 0.93, LANDMARKS, np.array([1.0], np.float32), True, 0.98),
        Face((70.0, 20.0, 90.0, 40.0), 0.5, tuple((x + 50, y) for x, y in LANDMARKS), None, False, 0.01),
    ],
    MODEL,
)


class FakeClient:
    """Answers what the test says and keeps how it was asked."""

    answer: ClassVar[Any] = None
    made: ClassVar[list[Any]] = []
    asked: ClassVar[list[Any]] = []

    def __init__(self, url: str | None, **options: Any) -> None:
        self.made.append((url, options))

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *args: object) -> None: ...

    def verify(self, *images: Any, **options: Any) -> Any:
        self.asked.append((images, options))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    analyze = verify


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeClient]:
    monkeypatch.setattr(cli, "FaceClient", FakeClient)
    for name in ("FACEGATE_URL", "FACEGATE_PROTOCOL", "FACEGATE_LOCAL"):
        monkeypatch.delenv(name, raising=False)
    FakeClient.made, FakeClient.asked = [], []
    return FakeClient


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(cv2.imencode(".png", np.full((100, 120, 3), 128, np.uint8))[1].tobytes())
    return path


def run(*arguments: object, env: dict[str, str] | None = None) -> Any:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], env=env)


def test_verified_is_0_and_a_fact_a_line(fake: type[FakeClient]) -> None:
    fake.answer = verification()
    result = run("verify", "a.jpg", "b.jpg")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "verified: the same person",
        "distance 0.2500, threshold 0.5000",
        "confidence 50.0 of 100",
        "liveness not checked",
        "12.5 ms in the server",
    ]
    assert fake.made == [(None, {"protocol": "grpc", "timeout_s": 10.0, "tls": None, "fallback": None})]
    assert fake.asked == [
        ((Path("a.jpg"), Path("b.jpg")), {"threshold": None, "anti_spoofing": False, "several_faces": None})
    ]


@pytest.mark.parametrize(
    ("result", "first"),
    [
        (VETOED, "not verified: image 2 is not live (P(real) 0.01)"),
        (verification(verified=False, distance=0.75), "not verified: the faces are not the same person's"),
        (
            verification(
                verified=False,
                distance=0.75,
                is_real_1=False,
                antispoof_score_1=0.2,
                is_real_2=False,
                antispoof_score_2=0.1,
            ),
            "not verified: image 1 is not live (P(real) 0.20) and image 2 is not live (P(real) 0.10)"
            " and the faces are not the same person's",
        ),
    ],
)
def test_not_verified_is_1_and_says_why(fake: type[FakeClient], result: Verification, first: str) -> None:
    fake.answer = result
    ran = run("verify", "a.jpg", "b.jpg", "--anti-spoofing")
    assert ran.exit_code == 1
    assert ran.stdout.splitlines()[0] == first
    assert ran.stderr == ""


def test_a_checked_liveness_is_told_of_both_images(fake: type[FakeClient]) -> None:
    fake.answer = VETOED
    assert run("verify", "a.jpg", "b.jpg", "--anti-spoofing").stdout.splitlines()[3:5] == [
        "image 1 live (P(real) 0.98)",
        "image 2 not live (P(real) 0.01)",
    ]


def test_options_reach_the_client(fake: type[FakeClient]) -> None:
    fake.answer = verification()
    options = ["--threshold", "0.4", "--anti-spoofing", "--url", "box:9000", "--protocol", "http", "--timeout", "2.5"]
    assert run("verify", "a.jpg", "b.jpg", *options).exit_code == 0
    assert fake.made == [("box:9000", {"protocol": "http", "timeout_s": 2.5, "tls": None, "fallback": None})]
    assert fake.asked[0][1] == {"threshold": 0.4, "anti_spoofing": True, "several_faces": None}


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((6, 1), ["a.jpg shows 6 faces"]),
        ((2, 3), ["a.jpg shows 2 faces", "b.jpg shows 3 faces"]),
        ((1, 1), []),
        ((None, None), []),
    ],
)
def test_a_choice_that_the_caller_did_not_make_is_said_in_a_line(
    fake: type[FakeClient], counts: tuple[int | None, int | None], said: list[str]
) -> None:
    fake.answer = verification(face_count_1=counts[0], face_count_2=counts[1])
    quiet = run("verify", "a.jpg", "b.jpg")
    assert quiet.exit_code == 0
    assert len(quiet.stderr.splitlines()) == bool(said)
    assert all(each in quiet.stderr for each in [*said, *(["--several-faces"] if said else [])])
    chosen = run("verify", "a.jpg", "b.jpg", "--several-faces", "largest")
    assert (chosen.exit_code, chosen.stderr) == (0, "")
    assert [options["several_faces"] for _, options in fake.asked] == [None, "largest"]
    assert run("verify", "a.jpg", "b.jpg", "--several-faces", "first").exit_code == 2


def test_the_address_may_come_from_the_environment(fake: type[FakeClient]) -> None:
    fake.answer = verification()
    run("verify", "a", "b", env={"FACEGATE_URL": "box:9000", "FACEGATE_PROTOCOL": "http"})
    run("verify", "a", "b", "--url", "other:1", env={"FACEGATE_URL": "box:9000"})
    assert [url for url, _ in fake.made] == ["box:9000", "other:1"]
    assert fake.made[0][1]["protocol"] == "http"


def test_local_is_an_option_and_a_variable(fake: type[FakeClient], photo: Path) -> None:
    fake.answer = verification()
    run("verify", "a", "b", "--local")
    run("verify", "a", "b", env={"FACEGATE_LOCAL": "1"})
    fake.answer = FACES
    run("analyze", photo, "--local")
    run("analyze", photo, env={"FACEGATE_LOCAL": "0"})
    assert [options["fallback"] for _, options in fake.made] == ["local", "local", "local", None]


def test_a_local_answer_is_told_as_such(fake: type[FakeClient], monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(self: FakeClient, *images: Any, **options: Any) -> Verification:
        logging.getLogger("facegate_client").warning("this process answers in place of box:1: gone")
        return verification(model=replace(MODEL, local=True))

    monkeypatch.setattr(fake, "verify", answer)
    for _ in range(2):  # nothing is left over from the first
        result = run("verify", "a", "b", "--local")
        assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "12.5 ms in this process")
        assert result.stderr == "faceclient: this process answers in place of box:1: gone\n"
    assert json.loads(run("verify", "a", "b", "--local", "--json").stdout)["model"]["local"] is True


def test_json_is_one_object_with_null_for_not_checked(fake: type[FakeClient]) -> None:
    fake.answer = verification()
    plain = json.loads(run("verify", "a.jpg", "b.jpg", "--json").stdout)
    assert plain == verification().as_dict() | {"box_1": list(BOX), "box_2": list(BOX)}
    assert plain["is_real_1"] is None
    fake.answer = VETOED
    vetoed = run("verify", "a.jpg", "b.jpg", "--json")
    assert vetoed.exit_code == 1
    assert json.loads(vetoed.stdout)["is_real_2"] is False


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (NoFace("no face in image 2"), "no face in image 2 (b.jpg); use a picture that shows the face larger"),
        (NoFace("no face"), "no face; use a picture"),
        (BadImage("image 1: is empty"), "image 1: is empty"),
        (InvalidRequest("threshold: expected"), "threshold: expected"),
        (
            LivenessUnavailable("liveness is not served;\n  run facegate fetch"),
            "liveness is not served; run facegate fetch",
        ),
        (Overloaded("no permit"), "no permit; try again shortly"),
        (DeadlineExceeded("no answer from x within 1 s"), "no answer from x within 1 s; give it more with --timeout"),
        (Unreachable("no FaceGate server answers at x: refused"), "answers at x: refused; start one with 'make serve'"),
        (ServerFault("a fault"), "a fault; the server's log has the cause"),
        (ValueError("url: expected host:port"), "url: expected host:port"),
        (ZeroDivisionError("division by zero"), "unexpected ZeroDivisionError: division by zero"),
    ],
)
@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_an_error_is_2_and_one_line(
    fake: type[FakeClient], error: Exception, line: str, json_too: tuple[str, ...]
) -> None:
    fake.answer = error
    result = run("verify", "a.jpg", "b.jpg", *json_too)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("faceclient: ")
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_interrupt_is_not_a_verdict(fake: type[FakeClient]) -> None:
    fake.answer = KeyboardInterrupt()
    assert run("verify", "a.jpg", "b.jpg").exit_code == 130


@pytest.mark.parametrize(
    "arguments",
    [
        "verify a.jpg",
        "verify a b --threshold x",
        "verify a b --protocol carrier-pigeon",
        "verify a b --timeout 0",
        "verify a b --no-such-flag",
        "analyze",
        "no-such-command",
        "",
    ],
)
def test_a_usage_error_is_2(fake: type[FakeClient], arguments: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert fake.made == []


def test_help_is_0_and_says_the_exit_status() -> None:
    for arguments in (["--help"], ["verify", "--help"], ["analyze", "--help"]):
        result = run(*arguments)
        assert result.exit_code == 0
        assert "Exit status" in result.stdout


def test_analyze_tells_each_face(fake: type[FakeClient], photo: Path) -> None:
    fake.answer = FACES
    result = run("analyze", photo, "--anti-spoofing", "--min-score", "0.5", "--max-faces", "3")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "2 faces",
        "face 1: box 10 20 60 80, score 0.930, live (P(real) 0.98)",
        "face 2: box 70 20 90 40, score 0.500, not live (P(real) 0.01)",
    ]
    options = {"anti_spoofing": True, "embeddings": False, "min_score": 0.5, "max_faces": 3, "several_faces": None}
    assert fake.asked == [((photo.read_bytes(),), options)]


def test_no_face_in_an_analysis_is_no_error(fake: type[FakeClient], photo: Path) -> None:
    fake.answer = Faces([], MODEL)
    result = run("analyze", photo)
    assert (result.exit_code, result.stdout) == (0, "0 faces\n")
    plain = json.loads(run("analyze", photo, "--json").stdout)
    assert plain == {"faces": [], "face_count": None, "model": MODEL.as_dict()}


def test_analyze_of_one_face_says_how_many_there_are(fake: type[FakeClient], photo: Path) -> None:
    fake.answer = Faces(FACES[:1], MODEL, 6)
    result = run("analyze", photo, "--several-faces", "largest")
    assert result.stdout.startswith("6 faces")
    assert len(result.stdout.splitlines()) == 2
    assert fake.asked[0][1]["several_faces"] == "largest"
    assert json.loads(run("analyze", photo, "--several-faces", "best", "--json").stdout)["face_count"] == 6


def test_analyze_as_json_has_embeddings_where_asked(fake: type[FakeClient], photo: Path) -> None:
    fake.answer = FACES
    first, second = json.loads(run("analyze", photo, "--json", "--embeddings").stdout)["faces"]
    assert (first["embedding"], first["is_real"], first["box"]) == ([1.0], True, list(BOX))
    assert (second["embedding"], second["is_real"]) == (None, False)
    assert fake.asked[0][1]["embeddings"] is True


def test_verify_draws_both_pictures_side_by_side(
    fake: type[FakeClient], photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.answer = verification()
    monkeypatch.setattr(fake, "analyze", lambda self, image, **options: FACES[:1])
    out = tmp_path / "both.png"
    assert run("verify", photo, photo, "--draw", out).exit_code == 0
    drawn = cv2.imread(str(out))
    assert drawn.shape == (100, 240, 3)
    assert np.array_equal(drawn[:, :120], drawn[:, 120:])
    assert len(np.unique(drawn)) > 1


@pytest.mark.parametrize("compared", [0, 1])
def test_the_face_that_is_drawn_is_the_one_that_was_compared(
    fake: type[FakeClient], photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compared: int
) -> None:
    fake.answer = verification(box_1=FACES[compared].box, box_2=FACES[compared].box)
    monkeypatch.setattr(fake, "analyze", lambda self, image, **options: Faces(FACES, MODEL))
    out = tmp_path / "both.png"
    assert run("verify", photo, photo, "--draw", out, "--several-faces", "largest").exit_code == 0
    x1, y1, x2, y2 = (int(value) for value in FACES[1 - compared].box)
    drawn = cv2.imread(str(out))
    assert len(np.unique(drawn)) > 1
    assert len(np.unique(drawn[y1 + 3 : y2, x1 + 3 : x2])) == 1  # nothing is marked at the other face


def test_analyze_draws(fake: type[FakeClient], photo: Path, tmp_path: Path) -> None:
    fake.answer = FACES
    out = tmp_path / "out.png"
    assert run("analyze", photo, "--draw", out).exit_code == 0
    drawn = cv2.imread(str(out))
    assert drawn.shape == (100, 120, 3)
    assert not np.array_equal(drawn, cv2.imread(str(photo)))


@pytest.mark.parametrize(("out", "says"), [("out.xyz", "'.xyz'; use .png"), ("no/such/dir/out.png", "No such file")])
def test_a_picture_that_cannot_be_written_is_an_error(
    fake: type[FakeClient], photo: Path, tmp_path: Path, out: str, says: str
) -> None:
    fake.answer = FACES
    result = run("analyze", photo, "--draw", tmp_path / out)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout.startswith("2 faces")


def test_without_opencv_the_answer_is_printed_and_the_extra_is_named(
    fake: type[FakeClient], photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.answer = FACES
    monkeypatch.setitem(sys.modules, "cv2", None)
    result = run("analyze", photo, "--draw", tmp_path / "out.png")
    assert result.exit_code == 2
    assert result.stdout.startswith("2 faces")
    assert len(result.stderr.splitlines()) == 1
    assert "facegate-client[draw]" in result.stderr


def test_a_missing_file_is_an_error(fake: type[FakeClient]) -> None:
    result = run("analyze", "no/such.jpg")
    assert result.exit_code == 2
    assert re.fullmatch(r"faceclient: .*no/such\.jpg: No such file or directory\n", result.stderr)


def test_the_program_itself(triton: FakeTriton, photo: Path) -> None:
    command = [sys.executable, "-m", "facegate_client", "verify", str(photo), str(photo), "--anti-spoofing"]
    env = os.environ | {"FACEGATE_URL": triton.url, "FACEGATE_PROTOCOL": triton.protocol}
    verified = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert verified.stdout.startswith("verified: the same person\n")

    answer = verify_answer(liveness=(True, 0.98, False, 0.01), VERIFIED=np.array([False]))
    triton.answer = lambda call: answer
    vetoed = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert (vetoed.returncode, vetoed.stderr) == (1, "")
    assert vetoed.stdout.startswith("not verified: image 2 is not live (P(real) 0.01)\n")
