"""What a camera's SOURCE says: where its frames come from, and how they are to be taken."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

from facegate.cameras.mailbox import Mode
from facegate_client.contract import MAX_SIDE
from facegate_client.errors import printable

Kind = Literal["path", "device", "stream", "synthetic"]
Rotation = Literal[0, 90, 180, 270]

T = TypeVar("T")
SCHEMES = ("rtsp", "rtsps", "http", "https")
OPTIONS = ("name", "rotate", "roi", "fps", "mode", "sar", "tls_ca", "tls_verify")
_TURNS: dict[str, Rotation] = {"0": 0, "90": 90, "180": 180, "270": 270}
_MODES: dict[str, Mode] = {mode.value: mode for mode in Mode}
_DEVICE = re.compile(r"/dev/(video\d+|v4l/.+)")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_OPTION_PART = re.compile(r"[A-Za-z_]\w*=")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]*")
_SECRETS_WORD = re.compile(r"pass|pw|psw|token|key|secret|auth|user|login", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A parsed SOURCE.

    `address` is the path, the URL with its credentials, or what follows "synthetic:"; it is kept out of repr, and
    `shown` stands for it in messages. `rotate` is in degrees clockwise, on top of what a file itself says. `roi` is x,
    y, width, height in pixels of the rotated frame. `fps` is the most frames a second of media time that are taken,
    None for all; of a folder, how many pictures make a second. `mode` None: whoever reads the source decides.
    `sar` is the width of a pixel divided by its height, used instead of what a video declares. `tls_ca` is a PEM file
    of certificate authorities, and `tls_verify` whether a certificate is verified; None: the default of the scheme.
    """

    kind: Kind
    address: str = field(repr=False)
    name: str
    rotate: Rotation = 0
    roi: tuple[int, int, int, int] | None = None
    fps: float | None = None
    mode: Mode | None = None
    sar: Fraction | None = None
    tls_ca: str | None = None
    tls_verify: bool | None = None

    @property
    def scheme(self) -> str:
        """Of a URL in lower case, otherwise empty."""
        return urlsplit(self.address).scheme if self.kind == "stream" else ""

    @property
    def shown(self) -> str:
        """The address without user, password and query, nor a path that may hold a password, as recorders' do."""
        return _shown(urlsplit(self.address)) if self.kind == "stream" else self.address


def parse(text: str) -> SourceSpec:
    """Reads `ADDRESS[#name=door&rotate=90&roi=x,y,width,height&fps=5&mode=latest]`.

    A `#` that no `word=` follows belongs to the address, and so does any where the whole text is a path that is there.
    Raises ValueError, in one line and without credentials, on an unknown scheme or option and on a value out of range;
    whether there is anything at the address is for whoever opens it to find out.
    """
    address, mark, rest = text.rpartition("#")
    if not mark or not _OPTION_PART.match(rest) or os.path.exists(text):
        address, rest = text, ""
    kind, name = _kind_and_name(address, rest)
    try:
        options = _options(rest)
        return SourceSpec(
            kind,
            address.removeprefix("synthetic:") if kind == "synthetic" else address,
            _name(options["name"]) if "name" in options else name,
            _one_of(_TURNS, options.get("rotate", "0"), "rotate"),
            _roi(options["roi"]) if "roi" in options else None,
            _fps(options["fps"]) if "fps" in options else None,
            _one_of(_MODES, options["mode"], "mode") if "mode" in options else None,
            _sar(options["sar"]) if "sar" in options else None,
            *_tls(options, kind, address),
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _kind_and_name(address: str, rest: str) -> tuple[Kind, str]:
    if not address or "\0" in address:
        raise ValueError("source: expected a file, a folder, /dev/videoN or a URL, got an empty one or a zero byte")
    if address.startswith("synthetic:"):
        return "synthetic", printable(address)
    if _DEVICE.fullmatch(address):
        return "device", printable(Path(address).name)
    url = _URL.match(address)
    if url is None:
        if ":" in address and "@" in address and not os.path.exists(address):  # no message is to have its password
            raise ValueError(f"source: no such file; of a URL, the {'://, '.join(SCHEMES)}:// before it is missing")
        return "path", printable(Path(os.path.abspath(address)).stem) or "source"
    if url[1].lower() not in SCHEMES:
        raise ValueError(f"source: unknown scheme {url[1]}://; known are a plain path and {', '.join(SCHEMES)}")
    return "stream", _checked_url(address, rest)


def _checked_url(address: str, rest: str) -> str:
    """The name of a URL that FFmpeg may be given."""
    if not address.isascii() or re.search(r"[\x00-\x20\x7f]", address):
        raise ValueError("source: a URL may hold no spaces, control or non-ASCII characters; write them as %XX")
    authority, beyond = re.split(r"(?=[/?#])", f"{address.partition('://')[2]}#{rest}", maxsplit=1)
    if "@" in beyond and "@" not in authority:
        raise ValueError(
            "source: an @ after the host: in a password write a # as %23, a / as %2F, a ? as %3F; elsewhere an @ as %40"
        )
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ValueError("source: not a URL: its host or port cannot be read") from None
    if not parts.hostname:
        raise ValueError(f"source: {parts.scheme}:// without a host")
    if not _HOST.fullmatch(parts.hostname):
        raise ValueError("source: not a URL: its host cannot be read")
    return _shown(parts).partition("://")[2].rstrip("/")


def _shown(url: SplitResult) -> str:
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    port = "" if url.port is None else f":{url.port}"
    secret = not _PLAIN_PATH.fullmatch(url.path) or _SECRETS_WORD.search(url.path)
    return f"{url.scheme}://{host}{port}{'/...' if secret else url.path}"


def _options(rest: str) -> dict[str, str]:
    if not rest:
        return {}
    options: dict[str, str] = {}
    for option, value in parse_qsl(rest, keep_blank_values=True, strict_parsing=True, errors="strict"):
        if option not in OPTIONS:
            raise ValueError(f"unknown option {option!r}; known: {', '.join(OPTIONS)}")
        if option in options:
            raise ValueError(f"{option}: given twice")
        options[option] = value
    return options


def _one_of(known: dict[str, T], value: str, option: str) -> T:
    if value not in known:
        raise ValueError(f"{option}: expected one of {', '.join(known)}, got {value!r}")
    return known[value]


def _name(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError(f"name: expected printable characters, got {value!r}")
    return value


def _roi(value: str) -> tuple[int, int, int, int]:
    numbers = [int(part) for part in value.split(",") if re.fullmatch(r"[0-9]{1,5}", part)]
    if len(numbers) != 4 or value.count(",") != 3 or 0 in numbers[2:] or max(numbers) > MAX_SIDE:
        raise ValueError(f"roi: expected x,y,width,height in pixels, got {value!r}")
    x, y, width, height = numbers
    return x, y, width, height


def _fps(value: str) -> float:
    try:
        fps = float(value)
    except ValueError:
        fps = math.nan
    if not 0 < fps <= 1000:
        raise ValueError(f"fps: expected a number over 0 and up to 1000, got {value!r}")
    return fps


def _sar(value: str) -> Fraction:
    sides = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})", value)
    if sides is None or 0 in (int(sides[1]), int(sides[2])):
        raise ValueError(f"sar: expected width:height of a pixel, such as 4:3, got {value!r}")
    return Fraction(int(sides[1]), int(sides[2]))


def _tls(options: dict[str, str], kind: Kind, address: str) -> tuple[str | None, bool | None]:
    authorities, verify = options.get("tls_ca"), options.get("tls_verify")
    if authorities is None and verify is None:
        return None, None
    if kind != "stream" or urlsplit(address).scheme not in ("https", "rtsps"):
        raise ValueError("tls_ca and tls_verify: only for https:// and rtsps://")
    verified = None if verify is None else _one_of({"true": True, "false": False}, verify, "tls_verify")
    if authorities is not None and (not authorities or "\0" in authorities or verified is False):
        raise ValueError("tls_ca: expected a PEM file of certificate authorities, and no tls_verify=false beside it")
    return authorities, verified
