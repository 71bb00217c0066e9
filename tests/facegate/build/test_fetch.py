"""Fetching files: what a user sees over good, broken and dishonest connections. Every server here is a real one."""

from __future__ import annotations

import hashlib
import io
import os
import pty
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tenacity import RetryCallState, wait_none

from facegate.build.weights import download
from facegate.build.weights.fetch import fetch
from facegate.errors import FetchError
from facegate.packs.pack_file import Download, WeightFile

NAME = "net.onnx"
BODY = bytes(range(256)) * 2000  # 512,000 bytes
OTHER = BODY[::-1]
Odd = Callable[["Handler"], None]


@dataclass
class Site:
    """A server on 127.0.0.1: `odd` holds, by path, what it does instead of serving, once each in turn."""

    bodies: dict[str, bytes] = field(default_factory=lambda: {f"/{NAME}": BODY})
    odd: dict[str, list[Odd]] = field(default_factory=dict)
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    sent: int = 0  # bytes of bodies
    base: str = ""

    def asked(self) -> list[str | None]:
        return [wanted for _, wanted in self.requests]


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Site, *args: object) -> None:
        self.site = site
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.site.requests.append((self.path, self.headers["Range"]))
        if odd := self.site.odd.get(self.path):
            odd.pop(0)(self)
        elif (body := self.site.bodies.get(self.path)) is None:
            self.answer(404, b"no such file")
        else:
            self.serve(body)

    def serve(self, body: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(wanted[1]) if wanted and self.site.ranges else 0
        if start >= len(body):
            self.answer(416, b"")
        elif start:
            self.answer(206, body[start:], {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"})
        else:
            self.answer(200, body)

    def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, *, length: int | None = -1
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.site.sent += len(body)  # before the client has it, and looks
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def status(code: int) -> Odd:
    return lambda handler: handler.answer(code, b"not now")


def redirect(to: str) -> Odd:
    return lambda handler: handler.answer(302, b"", {"Location": to})


def cut(after: int, *, length: int | None = len(BODY)) -> Odd:
    """The connection breaks after so many bytes."""
    return lambda handler: handler.answer(200, BODY[:after], length=length)


def endless(handler: Handler) -> None:
    handler.answer(200, b"", length=None)
    try:
        while True:
            handler.wfile.write(bytes(65536))
            handler.site.sent += 65536
    except OSError:  # the client has hung up
        pass


def served(site: Site, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site.base = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    yield from served(Site())


@pytest.fixture
def mirror_site() -> Iterator[Site]:
    yield from served(Site())


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _no_waits_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BACKOFF", wait_none())
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def nowhere() -> str:
    """An address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def wanted(base: str, body: bytes = BODY, name: str = NAME) -> dict[str, WeightFile]:
    entry = {"url": f"{base}/{name}", "sha256": sha(body), "size": len(body), "licence": "MIT"}
    return {name: WeightFile.model_validate(entry)}


def put(path: Path, body: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def get(files: dict[str, WeightFile], cache: Path, mirror: str | Path | None = None) -> bytes:
    """The bytes of the file NAME once fetched, when the cache holds it and no leftovers."""
    paths = fetch(files, cache, mirror=str(mirror) if mirror is not None else None)
    assert paths == {name: cache / name for name in files}
    assert {path.name for path in cache.iterdir()} <= {*files, ".lock"}
    return paths[NAME].read_bytes()


def refused(files: dict[str, WeightFile], cache: Path, mirror: str | Path | None = None) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(files, cache, mirror=str(mirror) if mirror is not None else None)
    return str(caught.value)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unsized(files: dict[str, WeightFile]) -> dict[str, WeightFile]:
    return {name: file.model_copy(update={"size": None}) for name, file in files.items()}


def beside(path: Path, body: bytes = BODY) -> dict[str, WeightFile]:
    return {NAME: WeightFile(path=path, sha256=sha(body), licence="MIT")}


def either(base: str, other_base: str, other: bytes = OTHER) -> dict[str, WeightFile]:
    alternative = Download.model_validate({"url": f"{other_base}/other", "sha256": sha(other), "size": len(other)})
    return {NAME: wanted(base)[NAME].model_copy(update={"alternative": alternative})}


def zipped(entries: Mapping[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, body in entries.items():
            opened.writestr(name, body)
    return memory.getvalue()


MEMBERS = {NAME: random.Random(1).randbytes(100_000), "two.onnx": random.Random(2).randbytes(50_000)}
ZIP = zipped({"x/": b"", **{f"x/{name}": body for name, body in MEMBERS.items()}, "x/unused.onnx": OTHER[:100]})


def inside() -> dict[str, WeightFile]:
    return {
        name: WeightFile(archive="nets.zip", sha256=sha(body), size=len(body), licence="MIT")
        for name, body in MEMBERS.items()
    }


def archives(base: str, body: bytes = ZIP) -> dict[str, Download]:
    entry = {"url": f"{base}/nets.zip", "sha256": sha(body), "size": len(body)}
    return {"nets.zip": Download.model_validate(entry)}


def got(
    files: dict[str, WeightFile], cache: Path, zips: dict[str, Download], mirror: str | Path | None = None
) -> dict[str, bytes]:
    paths = fetch(files, cache, mirror=str(mirror) if mirror is not None else None, archives=zips)
    assert paths == {name: cache / name for name in files}
    return {name: path.read_bytes() for name, path in paths.items()}


class TestDownload:
    def test_a_file_is_downloaded_once_and_found_in_the_cache_from_then_on(self, site: Site, cache: Path) -> None:
        assert get(wanted(site.base), cache) == BODY
        assert get(wanted(site.base), cache) == BODY
        assert len(site.requests) == 1

    @pytest.mark.parametrize("length", [len(BODY), None], ids=["length known", "length unknown"])
    def test_a_broken_connection_goes_on_where_it_broke(self, site: Site, cache: Path, length: int | None) -> None:
        site.odd[f"/{NAME}"] = [cut(100_000, length=length), lambda handler: handler.connection.close()]
        assert get(wanted(site.base), cache) == BODY
        assert site.asked() == [None, "bytes=100000-", "bytes=100000-"]
        assert site.sent == len(BODY)

    def test_a_run_that_was_stopped_goes_on_where_it_stopped(self, site: Site, cache: Path) -> None:
        put(cache / f"{NAME}.part", BODY[:400_000])
        assert get(wanted(site.base), cache) == BODY
        assert site.sent == len(BODY) - 400_000

    def test_a_connection_that_always_breaks_keeps_what_came_for_the_next_run(self, site: Site, cache: Path) -> None:
        site.odd[f"/{NAME}"] = [cut(100_000), *[lambda handler: handler.connection.close()] * 3]
        assert "disconnected" in refused(wanted(site.base), cache)
        assert get(wanted(site.base), cache) == BODY
        assert site.sent == len(BODY)

    def test_a_server_that_cannot_resume_sends_the_whole_file(self, site: Site, cache: Path) -> None:
        site.ranges = False
        put(cache / f"{NAME}.part", BODY[:400_000])
        assert get(wanted(site.base), cache) == BODY
        assert site.sent == len(BODY)

    @pytest.mark.parametrize(
        "odd",
        [
            status(416),
            lambda handler: handler.answer(206, BODY, {"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"}),
            lambda handler: handler.answer(206, BODY[100_000:]),
        ],
        ids=["416", "another range", "no range named"],
    )
    def test_a_server_that_resumes_wrongly_is_asked_for_the_whole_file(self, site: Site, cache: Path, odd: Odd) -> None:
        put(cache / f"{NAME}.part", BODY[:100_000])
        site.odd[f"/{NAME}"] = [odd]
        assert get(wanted(site.base), cache) == BODY
        assert site.asked() == ["bytes=100000-", None]

    @pytest.mark.parametrize("part", [OTHER[:100_000], OTHER, OTHER + BODY], ids=["shorter", "as long", "longer"])
    def test_a_leftover_of_another_version_does_no_harm(self, site: Site, cache: Path, part: bytes) -> None:
        put(cache / f"{NAME}.part", part)
        assert get(wanted(site.base), cache) == BODY

    @pytest.mark.parametrize("code", [429, 500, 503])
    def test_a_passing_fault_of_the_server_goes_unnoticed(self, site: Site, cache: Path, code: int) -> None:
        site.odd[f"/{NAME}"] = [status(code), status(code)]
        assert get(wanted(site.base), cache) == BODY

    @pytest.mark.parametrize(("code", "tries"), [(503, download.TRIES), (404, 1), (403, 1)])
    def test_a_lasting_fault_is_told_with_its_status(self, site: Site, cache: Path, code: int, tries: int) -> None:
        site.odd[f"/{NAME}"] = [status(code)] * 10
        message = refused(wanted(site.base), cache)
        assert f"{site.base}/{NAME}: {code} " in message
        assert len(site.requests) == tries

    def test_a_redirect_is_followed_also_when_resuming(self, site: Site, cache: Path) -> None:
        site.odd["/old"] = [redirect(f"/{NAME}"), redirect(f"/{NAME}")]
        site.odd[f"/{NAME}"] = [cut(100_000)]
        assert get({NAME: wanted(site.base, name="old")["old"]}, cache) == BODY
        assert site.asked() == [None, None, "bytes=100000-", "bytes=100000-"]
        assert site.sent == len(BODY)


class TestRefused:
    @pytest.mark.parametrize("body", [OTHER, b"<html>Please log in</html>"], ids=["same size", "shorter"])
    def test_a_wrong_file_is_named_with_both_hashes_and_deleted(self, site: Site, cache: Path, body: bytes) -> None:
        site.bodies[f"/{NAME}"] = body
        message = refused(wanted(site.base), cache)
        for part in (NAME, sha(BODY), sha(body), f"{site.base}/{NAME}"):
            assert part in message
        assert [path.name for path in cache.iterdir()] == [".lock"]

    def test_the_address_after_a_redirect_is_the_one_blamed(self, site: Site, cache: Path) -> None:
        site.odd[f"/{NAME}"] = [redirect("/log-in?token=secret")]
        site.bodies["/log-in?token=secret"] = b"<html>Please log in</html>"
        message = refused(wanted(site.base), cache)
        assert f"{site.base}/log-in" in message
        assert "secret" not in message

    def test_a_file_without_end_is_not_taken(self, site: Site, cache: Path) -> None:
        site.odd[f"/{NAME}"] = [endless]
        message = refused(wanted(site.base), cache)
        assert message == f"{NAME} from {site.base}/{NAME} is longer than 512,000 bytes"
        assert [path.name for path in cache.iterdir()] == [".lock"]

    def test_one_byte_too_many_is_not_taken(self, site: Site, cache: Path) -> None:
        site.bodies[f"/{NAME}"] = BODY + b"!"
        assert "longer than 512,000 bytes" in refused(wanted(site.base), cache)

    def test_no_redirect_leads_from_https_to_http(
        self, site: Site, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not (openssl := shutil.which("openssl")):
            pytest.skip("needs the openssl command, for a certificate")
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
        names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run([openssl, *options.split(), *names], check=True, capture_output=True)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        for secure in served(Site(), tls):
            secure.odd["/down"] = [redirect(f"{site.base}/{NAME}")]
            secure.odd["/along"] = [redirect(f"{secure.base}/{NAME}")]
            message = refused({NAME: wanted(secure.base, name="down")["down"]}, cache)
            assert f"redirected from https to {site.base}/{NAME}" in message
            assert site.requests == []
            assert get({NAME: wanted(secure.base, name="along")["along"]}, cache) == BODY

    def test_secrets_in_addresses_are_not_printed(
        self, site: Site, nowhere: str, cache: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def secret(base: str) -> str:
            return base.replace("http://", "http://user:hunter2@")

        site.bodies[f"/{NAME}"] = OTHER
        messages = [
            refused(wanted(secret(site.base)), cache),
            refused(wanted(secret(site.base), name="missing"), cache),
            refused(wanted(site.base), cache, mirror=secret(site.base)),
            refused(wanted(secret(nowhere)), cache),
            refused(wanted(site.base), cache, mirror=secret(nowhere)),
        ]
        assert all("127.0.0.1" in message and "hunter2" not in message for message in messages)
        assert "hunter2" not in "".join(capfd.readouterr())


class TestDirectoryMirror:
    def test_the_right_file_is_found_in_a_subfolder_among_wrong_ones(
        self, site: Site, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        mirror = tmp_path / "mirror"
        for folder in ("", "a", "z"):
            put(mirror / folder / NAME, OTHER)
        original = put(mirror / "m" / "n" / NAME, BODY)
        assert get(wanted(site.base), cache, mirror) == BODY
        assert not (cache / NAME).samefile(original)
        assert site.requests == []
        assert capfd.readouterr().err == ""

    def test_a_file_of_the_right_name_alone_is_passed_over_and_named(
        self, site: Site, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        wrong = put(tmp_path / "mirror" / NAME, OTHER)
        assert get(wanted(site.base), cache, wrong.parent) == BODY
        assert len(site.requests) == 1
        assert f"{wrong} is not used" in capfd.readouterr().err

    def test_linked_folders_are_searched_and_circles_end(self, site: Site, cache: Path, tmp_path: Path) -> None:
        mirror, elsewhere = tmp_path / "mirror", put(tmp_path / "elsewhere" / NAME, BODY).parent
        mirror.mkdir()
        for circle in ("one", "two", "three"):  # one alone would end at the 40 links that a path may have
            (mirror / circle).symlink_to(mirror)
        (mirror / "linked").symlink_to(elsewhere)
        assert get(wanted(site.base), cache, mirror) == BODY
        assert site.requests == []

    def test_a_directory_of_the_name_is_no_file(self, site: Site, cache: Path, tmp_path: Path) -> None:
        (tmp_path / "mirror" / NAME).mkdir(parents=True)
        assert get(wanted(site.base), cache, tmp_path / "mirror") == BODY

    def test_a_mirror_that_is_not_there_is_an_error(self, site: Site, cache: Path, tmp_path: Path) -> None:
        assert f"the mirror {tmp_path}/typo does not exist" in refused(wanted(site.base), cache, tmp_path / "typo")
        file = put(tmp_path / "file", BODY)
        assert f"the mirror {file} is not a directory" in refused(wanted(site.base), cache, file)
        assert site.requests == []

    def test_an_empty_setting_is_no_mirror(self, site: Site, cache: Path) -> None:
        assert get(wanted(site.base), cache, "") == BODY


class TestAddressMirror:
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_it_is_asked_first(self, site: Site, mirror_site: Site, cache: Path, slash: str) -> None:
        assert get(wanted(site.base), cache, mirror_site.base + slash) == BODY
        assert [path for path, _ in mirror_site.requests] == [f"/{NAME}"]
        assert site.requests == []

    def test_what_it_lacks_comes_from_the_files_own_address(self, site: Site, mirror_site: Site, cache: Path) -> None:
        files = {**wanted(site.base), **wanted(site.base, OTHER, "other.onnx")}
        site.bodies["/other.onnx"] = OTHER
        assert get(files, cache, mirror_site.base) == BODY
        assert (cache / "other.onnx").read_bytes() == OTHER
        assert [path for path, _ in site.requests] == ["/other.onnx"]

    def test_when_it_is_down_the_error_says_so(self, site: Site, nowhere: str, cache: Path) -> None:
        assert f"the mirror {nowhere}: [Errno" in refused(wanted(site.base), cache, nowhere)
        assert site.requests == []

    @pytest.mark.parametrize("address", ["http://[::1", "http://:99999"])
    def test_an_address_that_is_none_is_an_error(self, site: Site, cache: Path, address: str) -> None:
        assert "the mirror " in refused(wanted(site.base), cache, address)


class TestUnknownSize:
    def test_a_file_of_unknown_size_is_had_also_in_pieces(self, site: Site, cache: Path) -> None:
        files = unsized(wanted(site.base))
        site.odd[f"/{NAME}"] = [cut(100_000), lambda handler: handler.connection.close()]
        assert get(files, cache) == BODY
        assert site.asked() == [None, "bytes=100000-", "bytes=100000-"]

    def test_it_has_an_end_all_the_same(self, site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(download, "MOST", 1_000_000)
        site.odd[f"/{NAME}"] = [endless]
        assert "is longer than 1,000,000 bytes" in refused(unsized(wanted(site.base)), cache)
        assert listing(cache) == [".lock"]

    def test_a_wrong_one_and_a_missing_one_are_told_without_a_size(self, site: Site, cache: Path) -> None:
        site.bodies[f"/{NAME}"] = OTHER
        assert f"({len(OTHER):,} bytes), not {sha(BODY)}" in refused(unsized(wanted(site.base)), cache)
        site.bodies.clear()
        assert f"\n  {NAME} from {site.base}/{NAME}: 404 " in refused(unsized(wanted(site.base)), cache)


class TestInPlace:
    """Files that a pack has beside itself."""

    def test_it_stays_where_it_is(self, cache: Path, tmp_path: Path) -> None:
        mine = put(tmp_path / "pack" / "mine.onnx", BODY)
        assert fetch(beside(mine), cache, mirror="/nowhere") == {NAME: mine}
        assert not cache.exists()

    def test_it_goes_with_files_from_elsewhere(self, site: Site, cache: Path, tmp_path: Path) -> None:
        mine = put(tmp_path / "pack" / "mine.onnx", OTHER)
        files = {"mine.onnx": beside(mine, OTHER)[NAME], **wanted(site.base)}
        assert fetch(files, cache, mirror=None) == {"mine.onnx": mine, NAME: cache / NAME}
        assert listing(cache) == [".lock", NAME]

    def test_what_is_wrong_with_each_is_a_line_and_nothing_is_fetched(
        self, site: Site, cache: Path, tmp_path: Path
    ) -> None:
        mine, missing = put(tmp_path / "pack" / "mine.onnx", OTHER), tmp_path / "missing.onnx"
        files = {**wanted(site.base, name="a.onnx"), "b.onnx": beside(mine)[NAME], "c.onnx": beside(missing)[NAME]}
        assert refused(files, cache).splitlines() == [
            f"b.onnx: the SHA-256 of {mine} is {sha(OTHER)}, not {sha(BODY)}; "
            "put the right file there, or correct its sha256 in the pack",
            f"c.onnx: there is no file {missing}; put it there, or correct its path in the pack",
        ]
        assert site.requests == []
        assert not cache.exists()
        assert mine.read_bytes() == OTHER


class TestAlternative:
    def test_the_first_address_is_preferred(self, site: Site, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
        site.bodies["/other"] = OTHER
        assert get(either(site.base, site.base), cache) == BODY
        assert [path for path, _ in site.requests] == [f"/{NAME}"]
        assert capfd.readouterr().err == ""

    def test_it_is_taken_where_the_first_cannot_be_had_and_said_once(
        self, site: Site, nowhere: str, cache: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        site.bodies["/other"] = OTHER
        site.odd["/other"] = [lambda handler: handler.answer(200, OTHER[:1000], length=len(OTHER))]
        put(cache / f"{NAME}.part", BODY[:100_000])
        assert get(either(nowhere, site.base), cache) == OTHER
        assert get(either(nowhere, site.base), cache) == OTHER
        assert site.asked() == [None, "bytes=1000-"]  # what had come of the first is no part of it
        assert (
            capfd.readouterr().err
            == f"{NAME} is the alternative, from {site.base}/other: its SHA-256 is {sha(OTHER)}\n"
        )

    def test_it_may_have_another_size(self, site: Site, nowhere: str, cache: Path) -> None:
        site.bodies["/other"] = OTHER + OTHER
        assert get(either(nowhere, site.base, OTHER + OTHER), cache) == OTHER + OTHER

    def test_it_is_no_way_around_a_wrong_file(self, site: Site, cache: Path) -> None:
        site.bodies |= {"/other": OTHER, f"/{NAME}": BODY[:1000]}
        message = refused(either(site.base, site.base), cache)
        assert f"not {sha(BODY)} (512,000 bytes) or {sha(OTHER)} (512,000 bytes)" in message
        assert listing(cache) == [".lock"]

    def test_both_reasons_are_told_and_what_came_of_both_is_kept(self, site: Site, cache: Path) -> None:
        site.bodies["/other"] = OTHER
        site.odd[f"/{NAME}"] = [cut(100_000), *[status(503)] * 3]
        site.odd["/other"] = [lambda handler: handler.answer(200, OTHER[:1000], length=len(OTHER)), status(403)]
        lines = refused(either(site.base, site.base), cache).splitlines()
        assert lines[1].startswith(f"  {NAME} (512,000 bytes) from {site.base}/{NAME}: 503 ")
        assert lines[2].startswith(f"  {NAME}'s alternative (512,000 bytes) from {site.base}/other: 403 ")
        assert get(either(site.base, site.base), cache) == BODY
        assert site.sent == len(BODY) + 1000 + len(b"not now") * 4

    @pytest.mark.parametrize("build", [BODY, OTHER], ids=["first", "alternative"])
    def test_either_is_right_in_the_cache(self, nowhere: str, cache: Path, build: bytes) -> None:
        put(cache / NAME, build)
        assert get(either(nowhere, nowhere), cache) == build

    def test_either_is_right_in_a_directory_the_first_rather(
        self, nowhere: str, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        for folder, body in (("a", b"wrong"), ("b", OTHER), ("c", BODY), ("d", OTHER)):
            put(tmp_path / "both" / folder / NAME, body)
        assert get(either(nowhere, nowhere), cache, tmp_path / "both") == BODY
        assert capfd.readouterr().err == ""
        only = put(tmp_path / "only" / NAME, OTHER)
        (cache / NAME).unlink()
        assert get(either(nowhere, nowhere), cache, only.parent) == OTHER
        assert f"{NAME} is the alternative, from {only}: " in capfd.readouterr().err

    def test_either_is_right_at_an_address(self, mirror_site: Site, nowhere: str, cache: Path) -> None:
        mirror_site.bodies[f"/{NAME}"] = OTHER * 2
        assert get(either(nowhere, nowhere, OTHER * 2), cache, mirror_site.base) == OTHER * 2

    def test_it_is_no_way_around_a_mirror_in_trouble(self, site: Site, nowhere: str, cache: Path) -> None:
        assert f"the mirror {nowhere}: [Errno" in refused(either(site.base, site.base), cache, nowhere)
        assert site.requests == []


class TestArchive:
    """Files inside a zip."""

    def test_one_download_gives_all_of_its_files(
        self, site: Site, cache: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        site.bodies = {"/nets.zip": ZIP}
        assert got(inside(), cache, archives(site.base)) == MEMBERS
        assert got(inside(), cache, archives(site.base)) == MEMBERS
        assert [path for path, _ in site.requests] == ["/nets.zip"]
        assert listing(cache) == [".lock", *sorted(MEMBERS)]
        assert capfd.readouterr().err == ""

    def test_only_what_is_missing_is_taken(self, site: Site, cache: Path) -> None:
        site.bodies = {"/nets.zip": ZIP}
        put(cache / "two.onnx", MEMBERS["two.onnx"])
        put(cache / NAME, b"old")
        before = (cache / "two.onnx").stat().st_ino
        assert got(inside(), cache, archives(site.base)) == MEMBERS
        assert (cache / "two.onnx").stat().st_ino == before

    def test_a_download_goes_on_where_it_broke_in_the_next_run_too(self, site: Site, cache: Path) -> None:
        site.bodies = {"/nets.zip": ZIP}
        broken = [lambda handler: handler.connection.close()] * 3
        site.odd["/nets.zip"] = [lambda handler: handler.answer(200, ZIP[:500], length=len(ZIP)), *broken]
        with pytest.raises(FetchError, match="disconnected"):
            got(inside(), cache, archives(site.base))
        assert listing(cache) == [".lock", "nets.zip.part"]
        assert got(inside(), cache, archives(site.base)) == MEMBERS
        assert site.sent == len(ZIP)

    def test_a_run_that_was_stopped_before_unpacking_left_the_zip_and_the_next_needs_no_network(
        self, nowhere: str, cache: Path
    ) -> None:
        put(cache / "nets.zip", ZIP)
        assert got(inside(), cache, archives(nowhere)) == MEMBERS
        assert listing(cache) == [".lock", *sorted(MEMBERS)]

    def test_a_zip_of_unknown_size(self, site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        site.bodies = {"/nets.zip": ZIP}
        zips = {"nets.zip": archives(site.base)["nets.zip"].model_copy(update={"size": None})}
        assert got(unsized(inside()), cache, zips) == MEMBERS

    @pytest.mark.parametrize("body", [ZIP[:-1] + b"!", ZIP[:1000], ZIP + b"!"], ids=["changed", "short", "long"])
    def test_a_wrong_zip_is_refused_and_leaves_nothing(self, site: Site, cache: Path, body: bytes) -> None:
        site.bodies = {"/nets.zip": body}
        with pytest.raises(FetchError, match=r"^nets.zip from .* is (not the file expected|longer than)") as caught:
            got(inside(), cache, archives(site.base))
        assert sha(body) in str(caught.value) or len(body) > len(ZIP)
        assert listing(cache) == [".lock"]

    def test_a_hostile_zip_is_refused_and_leaves_nothing(self, site: Site, cache: Path, tmp_path: Path) -> None:
        site.bodies = {"/nets.zip": (evil := zipped({**MEMBERS, "../../evil": b"evil"}))}
        with pytest.raises(
            FetchError, match=r"nothing was taken from nets\.zip: its entry '\.\./\.\./evil' climbs out"
        ):
            got(inside(), cache, archives(site.base, evil))
        assert listing(cache) == [".lock"]
        assert listing(tmp_path) == ["cache"]

    def test_every_wrong_file_in_it_is_told_and_none_is_taken(self, site: Site, cache: Path) -> None:
        site.bodies = {"/nets.zip": (other := zipped({"x/two.onnx": OTHER[:256], f"x/{NAME}": MEMBERS[NAME]}))}
        with pytest.raises(FetchError, match=f"'x/two.onnx' is not .* its SHA-256 is {sha(OTHER[:256])}"):
            got(unsized(inside()), cache, archives(site.base, other))
        assert listing(cache) == [".lock"]

    def test_a_mirror_has_the_files(self, site: Site, cache: Path, tmp_path: Path) -> None:
        for name, body in MEMBERS.items():
            put(tmp_path / "mirror" / "any" / name, body)
        assert got(inside(), cache, archives(site.base), tmp_path / "mirror") == MEMBERS
        assert site.requests == []

    def test_a_mirror_has_the_zip_and_keeps_it(
        self, site: Site, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        mirror = put(tmp_path / "mirror" / "a" / "nets.zip", b"wrong").parents[1]
        put(mirror / "b" / "nets.zip", ZIP)
        put(cache / "nets.zip.part", ZIP[:1000])
        assert got(inside(), cache, archives(site.base), mirror) == MEMBERS
        assert site.requests == []
        assert listing(cache) == [".lock", *sorted(MEMBERS)]
        assert (mirror / "b" / "nets.zip").read_bytes() == ZIP
        assert capfd.readouterr().err == ""

    def test_a_mirror_has_one_file_and_the_rest_comes_in_the_zip(
        self, site: Site, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        site.bodies = {"/nets.zip": ZIP}
        put(tmp_path / "mirror" / NAME, MEMBERS[NAME])
        wrong = [put(tmp_path / "mirror" / name, OTHER) for name in ("two.onnx", "nets.zip")]
        assert got(inside(), cache, archives(site.base), tmp_path / "mirror") == MEMBERS
        said = capfd.readouterr().err
        assert [f"{path} is not used" in said for path in wrong] == [True, True]

    def test_an_address_has_the_files(self, site: Site, mirror_site: Site, cache: Path) -> None:
        mirror_site.bodies = {f"/{name}": body for name, body in MEMBERS.items()}
        assert got(inside(), cache, archives(site.base), mirror_site.base) == MEMBERS
        assert len(mirror_site.requests) == 2
        assert site.requests == []

    def test_an_address_has_one_file_and_the_zip(self, site: Site, mirror_site: Site, cache: Path) -> None:
        mirror_site.bodies = {"/two.onnx": MEMBERS["two.onnx"], "/nets.zip": ZIP}
        assert got(inside(), cache, archives(site.base), mirror_site.base) == MEMBERS
        assert [path for path, _ in mirror_site.requests] == [f"/{NAME}", "/two.onnx", "/nets.zip"]
        assert site.requests == []

    def test_an_address_has_nothing_of_it(self, site: Site, mirror_site: Site, cache: Path) -> None:
        site.bodies, mirror_site.bodies = {"/nets.zip": ZIP}, {}
        assert got(inside(), cache, archives(site.base), mirror_site.base) == MEMBERS
        assert len(mirror_site.requests) == 3
        assert len(site.requests) == 1

    def test_an_address_in_trouble_is_not_gone_around(self, site: Site, nowhere: str, cache: Path) -> None:
        with pytest.raises(FetchError, match=f"the mirror {nowhere}: "):
            got(inside(), cache, archives(site.base), nowhere)
        assert site.requests == []

    def test_the_error_names_the_zip_and_its_files_and_its_advice_works(
        self, nowhere: str, cache: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(FetchError) as caught:
            got({**wanted(nowhere, name="a.onnx"), **inside()}, cache, archives(nowhere))
        lines = str(caught.value).splitlines()
        assert lines[1].startswith(f"  a.onnx (512,000 bytes) from {nowhere}/a.onnx: [Errno ")
        assert lines[2].startswith(
            f"  nets.zip ({len(ZIP):,} bytes), which holds {NAME} and two.onnx, from {nowhere}/nets.zip: [Errno "
        )
        assert "put them, by these names, in a directory" in lines[3]
        put(tmp_path / "mirror" / "nets.zip", ZIP)
        assert got(inside(), cache, archives(nowhere), tmp_path / "mirror") == MEMBERS

    def test_alternatives_of_its_files(
        self, site: Site, nowhere: str, cache: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        files = inside()
        other = Download.model_validate({"url": f"{site.base}/other", "sha256": sha(OTHER), "size": len(OTHER)})
        files["two.onnx"] = files["two.onnx"].model_copy(update={"alternative": other})
        with pytest.raises(FetchError) as caught:
            got(files, cache, archives(nowhere))
        _, first, second, _ = str(caught.value).splitlines()
        assert f"which holds {NAME} and two.onnx, from {nowhere}/nets.zip: [Errno" in first
        assert f"  two.onnx's alternative (512,000 bytes) from {site.base}/other: 404 " in second

        site.bodies["/other"] = OTHER
        with pytest.raises(FetchError, match=f"which holds {NAME}, from {nowhere}/nets.zip"):
            got(files, cache, archives(nowhere))
        put(cache / NAME, MEMBERS[NAME])
        assert got(files, cache, archives(nowhere)) == {**MEMBERS, "two.onnx": OTHER}
        assert "two.onnx is the alternative, from" in capfd.readouterr().err

    def test_a_full_disk_is_an_error_and_the_zip_is_not_left(self, site: Site, cache: Path) -> None:
        site.bodies = {"/nets.zip": ZIP}
        cache.mkdir()
        (cache / "two.onnx.part").symlink_to("/dev/full")
        with pytest.raises(FetchError, match="No space left"):
            got(inside(), cache, archives(site.base))
        assert listing(cache) == [".lock"]

    def test_two_processes_download_it_once(self, site: Site, cache: Path) -> None:
        site.bodies = {"/nets.zip": ZIP}
        program = (
            "import sys; from pathlib import Path; from facegate.build.weights.fetch import fetch;"
            "from facegate.packs.pack_file import Download, WeightFile;"
            "fetch({name: WeightFile.model_validate_json(text) for name, text in zip(sys.argv[3::2], sys.argv[4::2])},"
            "Path(sys.argv[1]), mirror=None, archives={'nets.zip': Download.model_validate_json(sys.argv[2])})"
        )
        given = [archives(site.base)["nets.zip"].model_dump_json()]
        for name, entry in inside().items():
            given += [name, entry.model_dump_json()]
        both = [subprocess.Popen([sys.executable, "-c", program, str(cache), *given]) for _ in range(2)]
        assert [process.wait(timeout=60) for process in both] == [0, 0]
        assert [path for path, _ in site.requests] == ["/nets.zip"]
        assert listing(cache) == [".lock", *sorted(MEMBERS)]
        assert {name: (cache / name).read_bytes() for name in MEMBERS} == MEMBERS


class TestNoNetwork:
    def test_the_error_lists_what_is_missing_and_its_advice_works(
        self, site: Site, nowhere: str, cache: Path, tmp_path: Path
    ) -> None:
        files = {
            **wanted(site.base),
            **wanted(nowhere, OTHER, "other.onnx"),
            **wanted(nowhere, BODY[:1000], "picture.jpg"),
        }
        first, *missing, advice = refused(files, cache).splitlines()
        assert "missing" in first
        assert [line.split(": [Errno")[0] for line in missing] == [
            f"  other.onnx (512,000 bytes) from {nowhere}/other.onnx",
            f"  picture.jpg (1,000 bytes) from {nowhere}/picture.jpg",
        ]
        assert "FACEGATE_MIRROR=/that/directory" in advice

        put(tmp_path / "mirror" / "other.onnx", OTHER)
        assert f"The mirror {tmp_path}/mirror was searched" in refused(files, cache, tmp_path / "mirror")
        put(tmp_path / "mirror" / "picture.jpg", BODY[:1000])
        assert get(files, cache, tmp_path / "mirror") == BODY

    def test_a_silent_host_is_waited_for_once_not_for_every_file(
        self, cache: Path, nowhere: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[int] = []

        def wait(state: RetryCallState) -> float:
            waits.append(state.attempt_number)
            return 0.0

        monkeypatch.setattr(download, "BACKOFF", wait)
        files = {name: wanted(nowhere, name=name)[name] for name in ("a", "b", "c", "d")}
        assert refused(files, cache).count("Errno") == len(files)
        assert len(waits) == len(set(waits))

    def test_a_complete_cache_needs_nothing(self, nowhere: str, cache: Path) -> None:
        put(cache / NAME, BODY)
        assert get(wanted(nowhere), cache) == BODY
        assert [path.name for path in cache.iterdir()] == [NAME]  # it may be read-only


class TestCache:
    def test_a_wrong_file_in_the_cache_is_named_and_fetched_anew(
        self, site: Site, cache: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        put(cache / NAME, OTHER)
        assert get(wanted(site.base), cache) == BODY
        assert f"{cache / NAME} is deleted and fetched anew" in capfd.readouterr().err

    def test_a_wrong_file_is_gone_even_when_no_other_can_be_had(self, nowhere: str, cache: Path) -> None:
        put(cache / NAME, OTHER)
        refused(wanted(nowhere), cache, mirror=cache)
        assert not (cache / NAME).exists()

    def test_a_cache_that_cannot_be_made_is_an_error(self, site: Site, tmp_path: Path) -> None:
        put(tmp_path / "file", b"")
        assert refused(wanted(site.base), tmp_path / "file" / "cache").startswith(f"{tmp_path}/file")

    def test_two_processes_download_a_file_once(self, site: Site, cache: Path) -> None:
        both = threading.Barrier(2, timeout=30)

        def slow(handler: Handler) -> None:
            both.wait()  # until the other process is seen to wait
            handler.serve(BODY)

        site.odd[f"/{NAME}"] = [slow]
        processes = [_fetching(site, cache, subprocess.PIPE) for _ in range(2)]
        heard: list[str] = []

        def listen(process: subprocess.Popen[str]) -> None:
            assert process.stderr
            for line in process.stderr:
                heard.append(line)
                both.wait()

        listeners = [threading.Thread(target=listen, args=(process,)) for process in processes]
        for listener in listeners:
            listener.start()
        assert [process.wait(timeout=30) for process in processes] == [0, 0]
        for listener in listeners:
            listener.join()
        assert heard == [f"waiting for another process that writes into {cache}\n"]
        assert site.sent == len(BODY)
        assert (cache / NAME).read_bytes() == BODY


class TestProgress:
    def test_a_terminal_shows_the_file_and_how_much_came(self, site: Site, cache: Path) -> None:
        ours, theirs = pty.openpty()
        process = _fetching(site, cache, theirs)
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:  # how a terminal says that the other side has closed it
            pass
        assert process.wait(timeout=30) == 0
        assert NAME in seen.decode()
        assert "512.0/512.0 kB" in seen.decode()

    def test_anything_else_stays_silent(self, site: Site, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
        get(wanted(site.base), cache)
        assert capfd.readouterr() == ("", "")


def _fetching(site: Site, cache: Path, stderr: int) -> subprocess.Popen[str]:
    """Another process that fetches NAME."""
    program = (
        "import sys; from pathlib import Path; from facegate.build.weights.fetch import fetch;"
        "from facegate.packs.pack_file import WeightFile;"
        "fetch({sys.argv[1]: WeightFile.model_validate_json(sys.argv[2])}, Path(sys.argv[3]), mirror=None)"
    )
    entry = wanted(site.base)[NAME].model_dump_json()
    return subprocess.Popen([sys.executable, "-c", program, NAME, entry, str(cache)], stderr=stderr, text=True)
