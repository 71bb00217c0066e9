"""One file over HTTP: resumed where it broke off, tried a few times, and never longer than it should be."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random
from tenacity.wait import wait_base

from facegate.errors import FetchError

TRIES = 4
BACKOFF: wait_base = wait_exponential(multiplier=0.5, max=8.0) + wait_random(0.0, 0.5)  # seconds
TIMEOUT = httpx.Timeout(30.0, connect=10.0)  # seconds
CHUNK = 1 << 16  # bytes
MOST = 1 << 30  # bytes, of a file whose size is not known
TRANSIENT = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)


class Unavailable(FetchError):
    """An address gives no file. The text is the reason alone; `status` is the HTTP status, when there was one."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class _Again(Unavailable):
    """The next attempt may well succeed."""


def shown(url: str) -> str:
    """An address fit to print: without its user, its password and its query, any of which may be a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) + "?..." * bool(parts.query)


def open_client() -> httpx.Client:
    """A client that follows redirects, except from https to anything less. Raises FetchError."""
    try:
        return httpx.Client(
            timeout=TIMEOUT,
            follow_redirects=True,
            # Ranges and sizes count the bytes of the file, so it has to travel as it is.
            headers={"Accept-Encoding": "identity", "User-Agent": "facegate"},
            event_hooks={"response": [_refuse_downgrade]},
        )
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        raise FetchError(f"no HTTP with the proxy or certificates that the environment names: {error}") from error


def _refuse_downgrade(response: httpx.Response) -> None:
    if response.has_redirect_location and response.url.scheme == "https":
        to = response.url.join(response.headers["location"])
        if to.scheme != "https":
            raise Unavailable(f"redirected from https to {shown(str(to))}, which is not followed")


@dataclass(frozen=True)
class Downloader:
    """Downloads with one client. A server that could not be connected to is not tried for the next file."""

    client: httpx.Client
    unreachable: dict[str, str] = field(default_factory=dict)  # server: reason

    def download(self, url: str, part: Path, size: int | None, tell: Callable[[int], object]) -> str:
        """Bring `part` to the end of the file, of `size` bytes, and return where it came from, fit to print.

        `tell` hears how many bytes are there. A short file is not an error here: its hash will be wrong.
        Raises Unavailable, or FetchError when more than `size` bytes come, or MOST where the size is not known.
        """
        attempts = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=BACKOFF,
            retry=retry_if_exception_type((_Again, *TRANSIENT)),
            reraise=True,
        )
        try:
            if reason := self.unreachable.get(_server(httpx.URL(url))):
                raise Unavailable(reason)
            return attempts(self._attempt, url, part, size, tell)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
                self.unreachable[_server(error.request.url)] = reason
            raise Unavailable(reason) from error

    def _attempt(self, url: str, part: Path, size: int | None, tell: Callable[[int], object]) -> str:
        at, most = part.stat().st_size if part.exists() else 0, size or MOST
        if at == size:
            return shown(url)
        with self.client.stream("GET", url, headers={"Range": f"bytes={at}-"} if at else {}) as response:
            at = _start(response, at, part)
            with part.open("ab" if at else "wb") as out:
                for chunk in response.iter_raw():
                    at += len(chunk)
                    if at > most:
                        part.unlink()
                        raise FetchError(f"{part.stem} from {shown(str(response.url))} is longer than {most:,} bytes")
                    out.write(chunk)
                    tell(at)
        # Without either header a cut connection looks like the end of the file.
        if size and at < size and not {"content-length", "transfer-encoding"} & response.headers.keys():
            raise _Again(f"the connection closed after {at:,} of {size:,} bytes")
        return shown(str(response.url))


def _server(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.host}:{url.port}"


def _start(response: httpx.Response, at: int, part: Path) -> int:
    """The offset, in bytes, at which the response's body belongs, when `at` was asked for."""
    status = response.status_code
    if status == 200:
        return 0
    if at and status == 206:
        start = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
        if start and int(start[1]) == at:
            return at
    if at and status in (206, 416):
        part.unlink()
        raise _Again(f"the download could not be resumed at byte {at:,}", status)
    reason = f"{status} {response.reason_phrase}".strip()
    raise (_Again if status == 429 or status >= 500 else Unavailable)(reason, status)
