from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facegate.cameras.mailbox import Mode
from facegate.cameras.sources.spec import parse


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("holiday.mp4", "path", "holiday"),
        ("/data/faces/", "path", "faces"),
        ("odd#one.mp4", "path", "odd#one"),
        ("concat:a.mp4|b.mp4", "path", "concat:a.mp4|b"),
        ("/dev/video2", "device", "video2"),
        ("/dev/v4l/by-id/usb-Cam-index0", "device", "usb-Cam-index0"),
        ("rtsp://me:secret@door.lan:8554/live/1?pw=secret", "stream", "door.lan:8554/live/1"),
        ("RTSPS://door", "stream", "door"),
        ("http://[::1]:80/", "stream", "[::1]:80"),
        ("synthetic:faces=3", "synthetic", "synthetic:faces=3"),
    ],
)
def test_what_kind_of_source_it_is_and_how_it_is_named(text: str, kind: str, name: str) -> None:
    spec = parse(text)
    assert (spec.kind, spec.name) == (kind, name)


def test_all_options() -> None:
    spec = parse("synthetic:x=1#name=front%20door&rotate=90&roi=100,50,640,480&fps=2.5&mode=every")
    assert (spec.address, spec.name, spec.rotate, spec.roi) == ("x=1", "front door", 90, (100, 50, 640, 480))
    assert (spec.fps, spec.mode) == (2.5, Mode.every)
    assert parse("a.mp4#sar=16:11").sar == Fraction(16, 11)
    spec = parse("rtsps://door/live#tls_ca=%2Fetc%2Fca.pem&tls_verify=true")
    assert (spec.tls_ca, spec.tls_verify) == ("/etc/ca.pem", True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.mp4#fsp=5", "unknown option 'fsp'; known: name, rotate, roi, fps, mode"),
        ("a.mp4#rotate=45", "rotate: expected one of 0, 90, 180, 270"),
        ("a.mp4#roi=1,2,3", "roi: expected x,y,width,height"),
        ("a.mp4#roi=0,0,0,5", "roi: expected"),
        ("a.mp4#roi=0,0,5,5,", "roi: expected"),
        ("a.mp4#fps=0", "fps: expected a number over 0"),
        ("a.mp4#fps=nan", "fps: expected a number over 0"),
        ("a.mp4#mode=all", "mode: expected one of latest, every"),
        ("a.mp4#sar=4", "sar: expected width:height"),
        ("a.mp4#sar=0:1", "sar: expected width:height"),
        ("a.mp4#sar=1:0", "sar: expected width:height"),
        ("a.mp4#sar=-4:3", "sar: expected width:height"),
        ("a.mp4#sar=4:3x", "sar: expected width:height"),
        ("a.mp4#tls_ca=ca.pem", "only for https:// and rtsps://"),
        ("rtsp://host/live#tls_verify=false", "only for https:// and rtsps://"),
        ("http://host/live#tls_ca=ca.pem", "only for https:// and rtsps://"),
        ("https://host/live#tls_verify=no", "tls_verify: expected one of true, false"),
        ("https://host/live#tls_ca=", "tls_ca: expected a PEM file"),
        ("https://host/live#tls_ca=ca.pem&tls_verify=false", "no tls_verify=false beside it"),
        ("a.mp4#name=", "name: expected printable"),
        ("a.mp4#name=a%0Ab", "name: expected printable"),
        ("a.mp4#fps=1&fps=2", "fps: given twice"),
        ("a.mp4#fps=1&door", "bad query field"),
        ("ftp://host/a.mp4", "unknown scheme ftp://"),
        ("file:///etc/passwd", "unknown scheme file://"),
        ("rtsp:///live", "without a host"),
        ("rtsp://host:port/live", "host or port cannot be read"),
        ("rtsp://host/a\r\nDESCRIBE x", "no spaces, control"),
        ("rtsp://me:pa#ss=word@host/live", "in a password write a # as %23"),
        ("rtsp://me:pa#ssword@host/live", "in a password write a # as %23"),
        ("rtsp://me:12#word@host/live#name=door", "in a password write a # as %23"),
        ("rtsp://me:12/word@host/live", "a / as %2F"),
        ("rtsp://me:12?word@host/live", "a ? as %3F"),
        ("rtsp://host;token=word@/live", "without a host"),
        ("rtsp://host;token=word@host;token=word/live", "its host cannot be read"),
        ("me:word@host/live", "the rtsp://, rtsps://, http://, https:// before it is missing"),
        ("rtsp:/me:word@host/live", "no such file"),
        ("", "expected a file"),
        ("a\0b", "zero byte"),
    ],
)
def test_what_is_refused_and_why(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as refused:
        parse(text)
    assert says in str(refused.value)
    assert not any(part in str(refused.value) for part in ("word@", "12", "token"))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", ""),
        ("/Streaming/Channels/101", "/Streaming/Channels/101"),
        ("/axis-media/media.amp?videocodec=h264", "/axis-media/media.amp"),
        ("/h264Preview_01_main", "/h264Preview_01_main"),
        ("/user=admin_password=abc_channel=1_stream=0.sdp", "/..."),
        ("/user=admin&password=abc&channel=1", "/..."),
        ("/live/admin:abc", "/..."),
        ("/live;token=abc", "/..."),
        ("/live/@abc", "/..."),
        ("/live/%61bc", "/..."),
        ("/user/admin/PWD/abc", "/..."),
        ("/stream_key_abc/1", "/..."),
    ],
)
def test_a_path_that_may_hold_a_password_is_not_shown(path: str, shown: str) -> None:
    spec = parse(f"rtsp://me:abc@192.0.2.1:554{path}")
    assert spec.name == f"192.0.2.1:554{shown}"
    assert spec.shown.rstrip("/") == f"rtsp://192.0.2.1:554{shown}"
    assert spec.address == f"rtsp://me:abc@192.0.2.1:554{path}"
    assert "abc" not in f"{spec} {spec.shown}"


def test_a_file_that_is_there_is_meant_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x#b=c.mp4"
    assert parse(str(path.with_name("y#name=c.mp4"))).address == str(tmp_path / "y")
    path.touch()
    assert (parse(str(path)).address, parse(str(path)).name) == (str(path), "x#b=c")
    assert parse(f"{path}#fps=5").address == str(path)


@given(st.text())
@example("#")
@example("a#=")
@example("http://[")
@example("synthetic:")
def test_any_text_gives_a_spec_with_a_printable_name_or_a_value_error_in_a_line(text: str) -> None:
    try:
        spec = parse(text)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert spec.name and spec.name.isprintable()


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(lambda word: f"p:{word}/w")


@given(
    st.sampled_from(["rtsp", "rtsps", "http", "https"]),
    words,
    words,
    st.sampled_from(["", "#name=door&fps=1", "#fps=x", "#what=1", "#roi=1", "#rotate=1&mode=2"]),
)
def test_a_password_is_in_no_name_repr_or_message(scheme: str, user: str, password: str, options: str) -> None:
    secrets = quote(user, safe=""), quote(password, safe="")
    text = f"{scheme}://{secrets[0]}:{secrets[1]}@door/live?key={secrets[1]}{options}"
    try:
        spec = parse(text)
    except ValueError as error:
        told = str(error)
    else:
        assert spec.address == text.partition("#")[0]
        told = f"{spec} {spec.name} {spec.shown}"
    assert "door" in told
    assert not any(secret in told for secret in (*secrets, user, password))
