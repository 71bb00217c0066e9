"""`facegate camera` and a real Triton, as somebody at a terminal has them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import cv2
import psutil
import pytest

from facegate.cameras.transports.shared_file import START
from facegate.cli.running import free_ports
from facegate_client import FaceClient
from support.exact_images import portrait_files, reported_images
from support.made_videos import picture, with_matrix, write_video
from support.rtsp_server import RtspCamera
from support.serving import wait_for_line

SHM = Path("/dev/shm")
COUNTS = ("read", "sent", "dropped", "answered", "failed")


def left_behind():
    """Files of frames that no living process holds: another run on this machine has some of its own."""
    found = set()
    for path in SHM.glob(f"{START}*"):
        with contextlib.suppress(OSError), path.open("rb") as file:  # held, or just gone
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            found.add(path.name)
    return found


def frames_of(process):
    """Its files of frames."""
    return {Path(each.path) for each in psutil.Process(process.pid).memory_maps() if Path(each.path).match(f"{START}*")}


def started(*arguments, url, out):
    """`facegate camera` with these arguments, results to the file `out`."""
    command = [sys.executable, "-m", "facegate", "camera", *map(str, arguments), "--url", url]
    return subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True)


def ran(*arguments, url, out):
    """The exit status, the lines on stderr, and the records."""
    process = started(*arguments, url=url, out=out)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.splitlines(), records(out) if out.exists() else []


def records(out, kind=None):
    return [each for each in map(json.loads, out.read_text().splitlines()) if kind in (None, each["type"])]


def ends(found):
    """The last line of each camera."""
    return {each["camera"]: each for each in found if each["type"] == "camera"}


def adds_up(end):
    return end["read"] == end["sent"] + end["dropped"] and end["sent"] == end["answered"] + end["failed"]


def until(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def full_for(pipe, seconds):
    """Until nothing more has gone into it for so long, as much as there is in it."""
    held, since = 0, time.monotonic()
    while held < 2048 or time.monotonic() < since + seconds:
        now = int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
        if now != held:
            held, since = now, time.monotonic()
        time.sleep(0.02)


def lines_of(out):
    """Whole lines so far of a file that is being written."""
    text = out.read_text() if out.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def answered(out):
    return len({(each["camera"], each["frame"]) for each in lines_of(out) if each["type"] == "face"})


@pytest.fixture
def crowd(pictures, tmp_path):
    """A folder of pictures with several faces each, of different sizes, each twice."""
    folder = tmp_path / "crowd"
    folder.mkdir()
    names = ["t1.jpg", "couple.jpg", "selfie-many-people.jpg", "bald_guys.jpg"]
    for number, name in enumerate(names * 2):
        shutil.copy(pictures / "detection" / name, folder / f"{number}.jpg")
    return folder


@pytest.mark.parametrize("transport", ["raw", "shared-memory"])
def test_each_frame_of_a_file_once_in_order_and_as_asked_one_by_one(open_server, crowd, tmp_path, transport):
    options = "--anti-spoofing", "--judge-every", 0, "--in-flight", 4, "--transport", transport
    status, said, found = ran(crowd, *options, url=open_server.grpc, out=tmp_path / "out")
    assert status == 0 and len(said) == 1, said
    faces = [each for each in found if each["type"] == "face"]
    assert [each["frame"] for each in faces] == sorted(each["frame"] for each in faces)
    assert {name: ends(found)["crowd"][name] for name in COUNTS} == dict(zip(COUNTS, (8, 8, 0, 8, 0), strict=True))
    judged = 0
    with FaceClient(open_server.grpc) as client:
        for number in range(8):
            expected = client.analyze(crowd / f"{number}.jpg", anti_spoofing=True, embeddings=False)
            lines = [each for each in faces if each["frame"] == number]
            assert [each["box"] for each in lines] == [[round(side, 2) for side in face.box] for face in expected]
            assert [each["score"] for each in lines] == [round(face.score, 4) for face in expected]
            for line, face in zip(lines, expected, strict=True):
                if line["frame_is_real"] is not None:  # a face at the edge cannot be sent for judgement
                    assert line["frame_is_real"] == face.is_real
                    assert line["frame_antispoof_score"] == round(face.antispoof_score, 4)
                    judged += 1
    assert judged > 30
    assert not left_behind()


def test_a_server_killed_in_the_middle(open_server, pictures, tmp_path):
    out = tmp_path / "out"
    scenes = [f"synthetic:{pictures / folder}#name={folder}" for folder in ("verification", "liveness")]
    process = started(*scenes, "--anti-spoofing", url=open_server.grpc, out=out)
    try:
        until(lambda: answered(out) > 5)
        ready = open_server.log.read_text().count("facegate: ready:")
        tritons = psutil.Process(open_server.process.pid).children()
        next(each for each in tritons if "tritonserver" in each.name()).kill()
        wait_for_line(open_server.process, open_server.log, "facegate: ready:", count=ready + 1, seconds=60)
        before = answered(out)
        until(lambda: answered(out) > before + 10)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    said = errors.splitlines()
    assert process.returncode == 0, errors
    assert sum("go on without results" in line for line in said) == 1
    assert sum("answers again" in line for line in said) == 1
    by_camera = ends(records(out))
    assert set(by_camera) == {"verification", "liveness"}
    for end in by_camera.values():
        assert end["event"] == "ended" and adds_up(end) and end["failed"] + end["dropped"] > 0
    assert sum(end["failed"] for end in by_camera.values()) > 0
    assert not left_behind()


def test_a_client_that_was_killed_leaves_nothing_to_the_next(open_server, pictures, tmp_path):
    out = tmp_path / "out"
    process = started(f"synthetic:{pictures / 'liveness'}", url=open_server.grpc, out=out)
    until(lambda: answered(out) > 3)
    files = frames_of(process)
    process.kill()
    process.communicate()
    assert files and all(file.exists() for file in files)
    status, _, _ = ran(pictures / "liveness", url=open_server.grpc, out=out)
    assert status == 0
    assert not any(file.exists() for file in files)


def test_bad_sources_say_one_line_each_and_the_others_go_on(server, pictures, tmp_path):
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "empty").mkdir()
    (port,) = free_ports(1)
    bad = {
        "missing": tmp_path / "missing.mp4",
        "text": tmp_path / "text.mp4",
        "empty": tmp_path / "empty",
        "video99": "/dev/video99",
        f"127.0.0.1:{port}/live": f"rtsp://anna:secret@127.0.0.1:{port}/live",
    }
    out = tmp_path / "out"
    process = started(*bad.values(), pictures / "liveness", "--anti-spoofing", url=server.grpc, out=out)
    until(lambda: {each["camera"] for each in lines_of(out) if each.get("event") in ("lost", "failed")} >= set(bad))
    until(lambda: any(each.get("event") == "ended" for each in lines_of(out)))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    found = records(out)
    assert process.returncode == 2
    assert ends(found)["liveness"]["answered"] == 9
    said = Counter(name for line in errors.splitlines() for name in bad if line.startswith(f"facegate: {name}"))
    assert said == dict.fromkeys(bad, 1), errors
    assert "secret" not in errors + out.read_text() and "anna" not in errors + out.read_text()


def test_reported_images_in_a_folder_and_a_synthetic_camera(open_server, samples, tmp_path):
    """Two of them ended the process, one took a minute, and the sideways portrait was sideways."""
    folder = tmp_path / "reported"
    folder.mkdir()
    images = reported_images()
    for name, (data, _) in images.items():
        (folder / name).write_bytes(data)
    portrait, upright = portrait_files(cv2.imread(str(samples["image_T1.jpg"]))[::2, ::2])["exif6.jpg"]
    (folder / "portrait.jpg").write_bytes(portrait)
    out = tmp_path / "out"
    process = started(folder, f"synthetic:{folder}#name=made", url=open_server.grpc, out=out)
    try:
        until(lambda: any(each["type"] == "face" and each["camera"] == "made" for each in lines_of(out)))
        until(lambda: any(each.get("event") == "ended" for each in lines_of(out)))
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    refused = [name for name, (_, expected) in images.items() if expected is None]
    for camera in ("reported", "made"):
        said = [line for line in errors.splitlines() if line.startswith(f"facegate: {camera}: ")]
        assert sorted(line.split(": ")[2] for line in said) == sorted(refused), errors
    end = ends(records(out))["reported"]
    assert (end["answered"], end["failed"], end["dropped"]) == (len(images) + 1 - len(refused), 0, 0)
    with FaceClient(open_server.grpc) as client:
        (expected,) = client.analyze(upright, embeddings=False)
    (face,) = (each for each in records(out, "face") if each["camera"] == "reported")
    assert (face["height"], face["width"]) == upright.shape[:2]
    assert face["box"] == [round(side, 2) for side in expected.box]


def test_films_of_all_kinds_end_well_and_one_that_was_cut_off_does_not(server, tmp_path):
    (tmp_path / "turned.mp4").write_bytes(with_matrix(write_video(tmp_path / "a.mp4", 20).read_bytes(), 0, 1, 1, 0))
    jpegs = [cv2.imencode(".jpg", picture(number))[1].tobytes() for number in range(4)]
    (tmp_path / "bare.mjpeg").write_bytes(b"".join(jpegs))
    write_video(tmp_path / "held.mp4", 20, held_s=3)
    write_video(tmp_path / "held_too.mkv", 20, held_s=3)
    write_video(tmp_path / "wide.mp4", 20, sar=Fraction(2))
    films = {"turned.mp4": 20, "bare.mjpeg": 4, "held.mp4": 20, "held_too.mkv": 20, "wide.mp4": 20}
    paths = [tmp_path / name for name in films]
    status, said, found = ran(*paths, "--video", tmp_path, url=server.grpc, out=tmp_path / "out")
    assert status == 0, said
    assert {name: end["answered"] for name, end in ends(found).items()} == {
        Path(name).stem: frames for name, frames in films.items()
    }
    sizes = {}
    for number, name in enumerate(films, 1):
        with av.open(str(tmp_path / f"{number}-{Path(name).stem}-annotated.mp4")) as video:
            sizes[name] = video.streams.video[0].width, video.streams.video[0].height
    assert (sizes["turned.mp4"], sizes["wide.mp4"], sizes["held.mp4"]) == ((120, 160), (320, 120), (160, 120))
    held = paths[3].read_bytes()
    paths[3].write_bytes(held[: len(held) * 9 // 10])
    status, said, found = ran(*paths, url=server.grpc, out=tmp_path / "second")
    assert status == 2 and ends(found)["held_too"]["event"] == "failed"
    assert [end["event"] for end in ends(found).values()].count("ended") == 4


def test_a_camera_of_a_frame_a_second(server, tmp_path):
    out = tmp_path / "out"
    with RtspCamera(every_s=1.0) as camera:
        process = started(f"rtsp://127.0.0.1:{camera.port}/x#name=slow", url=server.grpc, out=out)
        until(lambda: sum(each["type"] == "frame" for each in lines_of(out)) >= 2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert [each["event"] for each in records(out, "camera")] == ["started", "ended"]


def test_names_of_files_are_told_without_what_a_terminal_obeys(server, pictures, tmp_path):
    """Of files that are there and not, on stderr and in the lines."""
    name = b"a\n\x1b[31m\xff\xe2\x80\xaeb"  # a new line, a colour, no UTF-8, from right to left
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    shutil.copy(pictures / "liveness" / "image_T1.jpg", folder + b"/" + name + b".jpg")
    with open(folder + b"/" + name + b".png", "wb") as file:
        file.write(b"no picture")
    photo = os.path.join(folder, name + b".jpg")
    command = [sys.executable, "-m", "facegate"]
    out = folder + b"/lines"
    camera = [*command, "camera", folder, folder + b"/none.mp4", "--watch", photo, "--threshold", "1.5"]
    ended = subprocess.run([*camera, "--url", server.grpc, "--out", out], capture_output=True, check=False)
    assert ended.returncode == 2
    said = ended.stderr.decode().splitlines()
    assert said and all(line.startswith("facegate: ") and line.isprintable() for line in said), said
    with open(out, "rb") as file:
        lines = [json.loads(line) for line in file.read().decode("ascii").splitlines()]
    texts = [each[key] for each in lines for key in ("camera", "who", "reason") if isinstance(each.get(key), str)]
    assert "".join(texts).isprintable()
    assert any(each.get("who", "").startswith("a?") for each in lines if each["type"] == "appearance")
    verify = [sys.executable, "-m", "facegate_client", "verify", photo, photo + b"x"]
    for arguments, program in ((verify, "faceclient"), ([*command, "camera", folder, "--out", folder], "facegate")):
        ended = subprocess.run([*arguments, "--url", server.grpc], capture_output=True, check=False)
        assert ended.returncode == 2
        (line,) = ended.stderr.decode().splitlines()[-1:]
        assert line.isprintable() and line.startswith(f"{program}: ")


def test_no_server(pictures, tmp_path):
    (port,) = free_ports(1)
    status, said, found = ran(pictures / "liveness", url=f"127.0.0.1:{port}", out=tmp_path / "out")
    assert status == 2 and found == [] and len(said) == 1
    assert said[0].startswith(f"facegate: no FaceGate server answers at 127.0.0.1:{port}")


def test_no_liveness(server_without_liveness, pictures, tmp_path):
    where = {"url": server_without_liveness.grpc, "out": tmp_path / "out"}
    status, said, found = ran(pictures / "liveness", "--anti-spoofing", **where)
    assert status == 2 and found == [] and len(said) == 1 and "anti_spoofing was asked for" in said[0]
    status, _, found = ran(pictures / "liveness", **where)
    assert status == 0
    assert {(each["is_real"], each["antispoof_score"]) for each in found if each["type"] == "face"} == {(None, None)}


def test_a_watched_person_appears_once_and_a_spoof_of_them_is_not_verified(server, pictures, tmp_path):
    """Frames of one picture: one appearance; of a photo of a photo: seen, and vetoed."""
    for name, photo in {"anna": "image_T1.jpg", "fake": "image_F2.jpg"}.items():
        folder = tmp_path / name
        folder.mkdir()
        for number in range(8):
            shutil.copy(pictures / "liveness" / photo, folder / f"{number}.jpg")
    photo = tmp_path / "anna.jpg"
    shutil.copy(pictures / "liveness" / "image_T1.jpg", photo)
    options = "--anti-spoofing", "--watch", photo, "--threshold", 1.5  # near enough is not what is tested here
    _, _, found = ran(tmp_path / "anna", tmp_path / "fake", *options, url=server.grpc, out=tmp_path / "out")
    events = {each["camera"]: each for each in found if each["type"] == "appearance"}
    assert sum(each["type"] == "appearance" for each in found) == 2
    assert (events["anna"]["verified"], events["anna"]["is_real"], events["anna"]["who"]) == (True, True, "anna")
    assert (events["fake"]["verified"], events["fake"]["is_real"]) == (False, False)
    spoofs = [each for each in found if each["type"] == "face" and each["camera"] == "fake"]
    assert spoofs and True not in {each["is_real"] for each in spoofs}


def test_ctrl_c_finishes_the_files(server, pictures, tmp_path):
    out = tmp_path / "out"
    source = f"synthetic:{pictures / 'verification'}#name=lobby"
    process = started(source, "--video", tmp_path, "--metrics-port", 0, url=server.grpc, out=out)
    until(lambda: answered(out) > 3)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # as timeout(1) does: it means it once
    process.communicate(timeout=30)
    assert process.returncode == 0
    end = ends(records(out))["lobby"]
    assert end["event"] == "ended" and adds_up(end)
    with av.open(str(tmp_path / "1-lobby-annotated.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == end["answered"]


def test_who_stops_reading_ends_the_run(server, pictures):
    command = [sys.executable, "-m", "facegate", "camera", f"synthetic:{pictures / 'verification'}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "FACEGATE_URL": server.grpc}
    )
    assert process.stdout is not None and process.stderr is not None
    assert json.loads(process.stdout.readline())["event"] == "started"
    process.stdout.close()
    assert process.wait(30) == 0
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


def test_who_stops_reading_for_good_does_not_hold_the_end_up(server, pictures):
    command = [sys.executable, "-m", "facegate", "camera", f"synthetic:{pictures / 'verification'}"]
    process = subprocess.Popen(
        [*command, "--url", server.grpc], stdout=subprocess.PIPE, stderr=subprocess.PIPE, pipesize=4096
    )
    assert process.stdout is not None and process.stderr is not None
    assert b"started" in process.stdout.readline()
    full_for(process.stdout, 0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 2
    assert b"stdout is not read" in process.stderr.read()
    process.stdout.close()
    process.stderr.close()


def test_this_process_answers_where_no_server_does(repository, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGATE_LOCAL_REPOSITORY", str(repository))
    (port,) = free_ports(1)
    where = {"url": f"127.0.0.1:{port}", "out": tmp_path / "out"}
    status, said, found = ran(pictures / "liveness", "--local", "--anti-spoofing", "--timeout", 30, **where)
    assert status == 0 and any("this process answers in place" in line for line in said), said
    assert ends(found)["liveness"]["answered"] == 9
