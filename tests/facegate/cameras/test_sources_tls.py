"""Certificates of https and rtsps sources, against servers that speak TLS."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from facegate.cameras.frame import SourceError
from facegate.cameras.sources.open_source import open_source
from facegate.cameras.sources.spec import parse
from support.certificates import Certificates, make_certificates
from support.http_camera import HttpCamera
from support.made_videos import write_video
from support.rtsp_server import RtspCamera


class Told:
    """What a source tells; it is closed when it is lost."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def lost(self, reason: str) -> None:
        self.lines.append(reason)
        self.source.close()

    def back(self) -> None:
        raise AssertionError("a source that was lost is closed")

    def warned(self, what: str) -> None:
        self.warnings.append(what)

    def skipped(self, what: str) -> None:
        self.lines.append(what)

    def frames(self, text: str, most: int = 5) -> int:
        """How many frames the source gives, `most` at most."""
        self.source = open_source(parse(text), self)
        try:
            return sum(1 for _ in islice(self.source.frames(), most))
        except SourceError as error:
            self.lines.append(str(error))
            return 0
        finally:
            self.source.close()


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("trusted"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def servers(
    trusted: Certificates, other: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HttpCamera, HttpCamera]]:
    """One with the trusted certificate, and one with another authority's, which has the same files."""
    folder = tmp_path_factory.mktemp("films")
    film = write_video(folder / "a.mp4", 10, options={"movflags": "faststart"}).read_bytes()
    segment = write_video(folder / "a.ts", 25).read_bytes()
    with HttpCamera(trusted) as good, HttpCamera(other) as bad, HttpCamera() as plain:
        good.files = bad.files = plain.files = {
            "/a.mp4": film,
            "/a.ts": segment,
            "/good.m3u8": playlist("a.ts"),
            "/absolute.m3u8": playlist(f"https://{good.address}/a.ts"),
            "/bad.m3u8": playlist(f"https://{bad.address}/a.ts"),
            "/plain.m3u8": playlist(f"http://{plain.address}/a.ts"),
            "/variants.m3u8": variants(f"https://{bad.address}/good.m3u8"),
            "/good_variants.m3u8": variants("good.m3u8"),
        }
        good.redirects = {
            "/good.mp4": "/a.mp4",
            "/bad.mp4": f"https://{bad.address}/a.mp4",
            "/plain.mp4": f"http://{plain.address}/a.mp4",
        }
        yield good, bad


def playlist(segment: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{segment}\n#EXT-X-ENDLIST\n".encode()


@pytest.mark.parametrize("ended", [True, False])
def test_a_verified_playlist_of_several_segments(trusted: Certificates, tmp_path: Path, ended: bool) -> None:
    """Without an end it is read again for segments that were added. In a process of its own: FFmpeg may abort."""
    with HttpCamera(trusted) as camera:
        camera.files["/a.ts"] = write_video(tmp_path / "a.ts", 25).read_bytes()
        segments = "#EXTINF:1,\na.ts\n" * 3
        end = "#EXT-X-ENDLIST\n" if ended else ""
        camera.files["/a.m3u8"] = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{segments}{end}".encode()
        script = (
            "import os, sys, threading\n"
            "from unittest.mock import Mock\n"
            "from facegate.cameras.sources.open_source import open_source\n"
            "from facegate.cameras.sources.spec import parse\n"
            "source = open_source(parse(sys.argv[1]), Mock())\n"
            "threading.Timer(2.0, source.close).start()\n"
            "print(sum(1 for frame in source.frames()), flush=True)\n"
            "os._exit(0)\n"  # not before a thread within FFmpeg has ended
        )
        address = f"https://{camera.address}/a.m3u8#tls_ca={trusted.ca}"
        ran = subprocess.run([sys.executable, "-c", script, address], capture_output=True, text=True, timeout=20)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 50  # more than two segments have


def variants(address: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{address}\n".encode()


@pytest.mark.parametrize(
    "path", ["a.mp4", "good.mp4", "live", "good.m3u8", "absolute.m3u8", "good_variants.m3u8", "bad.m3u8?verified"]
)
def test_an_https_source_that_its_authority_vouches_for(
    servers: tuple[HttpCamera, HttpCamera], trusted: Certificates, path: str
) -> None:
    told = Told()
    verify = "tls_verify=false" if path.startswith("bad") else f"tls_ca={trusted.ca}"
    assert told.frames(f"https://{servers[0].address}/{path}#{verify}") == 5
    assert not told.lines and not told.warnings


@pytest.mark.parametrize("path", ["bad.mp4", "plain.mp4", "bad.m3u8", "plain.m3u8", "variants.m3u8"])
def test_what_an_https_source_names_is_verified_too(
    servers: tuple[HttpCamera, HttpCamera], trusted: Certificates, path: str
) -> None:
    told = Told()
    assert told.frames(f"https://{servers[0].address}/{path}#tls_ca={trusted.ca}") == 0
    assert len(told.lines) == 1


@pytest.mark.parametrize("path", ["a.mp4", "live", "good.m3u8"])
def test_an_https_source_is_verified_by_default_and_for_its_name(
    servers: tuple[HttpCamera, HttpCamera], trusted: Certificates, tmp_path: Path, path: str
) -> None:
    good, bad = servers
    told = Told()
    assert told.frames(f"https://{good.address}/{path}") == 0  # no authority of this system's
    assert told.frames(f"https://{bad.address}/{path}#tls_ca={trusted.ca}") == 0
    assert len(told.lines) == 2 and all("certificate" in line for line in told.lines)
    assert told.frames(f"https://{bad.address}/{path}#tls_verify=false") == 5
    elsewhere = make_certificates(tmp_path, host="elsewhere.test")
    with HttpCamera(elsewhere) as camera:
        camera.files = good.files
        assert told.frames(f"https://{camera.address}/{path}#tls_ca={elsewhere.ca}") == 0
    assert not told.warnings


def test_an_rtsps_source_is_verified_where_its_authority_is_named(
    trusted: Certificates, other: Certificates, tmp_path: Path
) -> None:
    with RtspCamera(certificates=trusted) as camera:
        address = f"rtsps://me:secret@127.0.0.1:{camera.port}/live"
        told = Told()
        assert told.frames(address) == 5
        assert len(told.warnings) == 1 and "certificate" in told.warnings[0] and not told.lines
        told = Told()
        assert told.frames(f"{address}#tls_verify=false") == 5
        assert told.frames(f"{address}#tls_ca={trusted.ca}") == 5
        assert not told.lines
        assert told.frames(f"{address}#tls_ca={other.ca}") == 0
        assert told.frames(f"{address}#tls_verify=true") == 0
        assert len(told.lines) == 2 and all("certificate" in line for line in told.lines)
        assert not told.warnings and "secret" not in " ".join(told.lines)
    elsewhere = make_certificates(tmp_path, host="elsewhere.test")
    with RtspCamera(certificates=elsewhere) as camera:
        assert told.frames(f"rtsps://127.0.0.1:{camera.port}/live#tls_ca={elsewhere.ca}") == 0


@pytest.mark.parametrize("content", [None, b"no PEM"])
def test_authorities_that_cannot_be_read_are_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    for address in ("https://127.0.0.1:9/a.mp4", "https://127.0.0.1:9/live", "rtsps://127.0.0.1:9/live"):
        told = Told()
        assert told.frames(f"{address}#tls_ca={file}") == 0
        assert len(told.lines) == 1 and "tls_ca" in told.lines[0] and "ca.pem" in told.lines[0]


def test_what_is_told_of_authorities_is_printable(tmp_path: Path) -> None:
    told = Told()
    assert told.frames(f"https://127.0.0.1:9/live#tls_ca={tmp_path}/a%0A%1B%5B31m%E2%80%AEb.pem") == 0
    assert len(told.lines) == 1 and "tls_ca" in told.lines[0] and told.lines[0].isprintable()
