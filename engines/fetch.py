"""Files by name and SHA-256: from the cache, else from a mirror, else from their own addresses."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from engines.download import CHUNK, Downloader, FetchError, Unavailable, open_client, shown
from engines.lock import locked
from engines.mirror import named_files
from ensemble.pack import WeightFile

__all__ = ["FetchError", "fetch"]


def fetch(
    files: Mapping[str, WeightFile], cache: Path, *, mirror: str | None, progress: bool = True
) -> dict[str, Path]:
    """The local path of each file, in `cache`, its SHA-256 checked.

    `mirror` is a directory, searched with its subfolders for files of these names, or the http(s) address of one;
    what it lacks comes from the file's own address. `progress` shows bars on stderr when that is a terminal.
    Several processes may fetch into one cache. Raises FetchError; what did arrive stays for the next run.
    """
    try:
        if not all(_right(cache / name, want) for name, want in files.items()):
            cache.mkdir(parents=True, exist_ok=True)
            with locked(cache):
                _fill(files, cache, mirror or "", progress)
    except OSError as error:
        raise FetchError(f"{error.filename or cache}: {error.strerror or error}") from error
    return {name: cache / name for name in files}


def _fill(files: Mapping[str, WeightFile], cache: Path, mirror: str, progress: bool) -> None:
    missing = {name: want for name, want in files.items() if not _right(cache / name, want)}
    for name, want in missing.items():
        if (cache / name).exists():
            _say(f"{cache / name} is deleted and fetched anew: its SHA-256 is not {want.sha256}")
            (cache / name).unlink()
    if mirror and not _is_address(mirror):
        _copy_from(Path(mirror).expanduser(), missing, cache)
        missing = {name: want for name, want in missing.items() if not (cache / name).exists()}
    if missing:
        _download(missing, cache, mirror, progress)


def _copy_from(directory: Path, files: Mapping[str, WeightFile], cache: Path) -> None:
    hits = named_files(directory, files)
    for name, want in files.items():
        if right := next((hit for hit in hits[name] if _right(hit, want)), None):
            shutil.copyfile(right, _part(cache, name))
            _accept(cache, name, want, str(right))
            continue
        for hit in hits[name]:
            _say(f"{hit} is not used: its SHA-256 is not {want.sha256}")


def _download(files: Mapping[str, WeightFile], cache: Path, mirror: str, progress: bool) -> None:
    failed: dict[str, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    quiet = not (progress and sys.stderr.isatty())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bars, open_client() as client:
        downloader = Downloader(client)
        for name, want in files.items():
            try:
                _download_one(name, want, cache, mirror, downloader, bars)
            except Unavailable as error:
                failed[name] = str(error)
    if failed:
        raise FetchError(_advice({name: files[name] for name in failed}, failed, mirror))


def _download_one(
    name: str, want: WeightFile, cache: Path, mirror: str, downloader: Downloader, bars: Progress
) -> None:
    part, bar = _part(cache, name), bars.add_task(name, total=want.size)

    def get() -> str:
        if _is_address(mirror):
            try:
                return download(f"{mirror.rstrip('/')}/{quote(name)}")
            except Unavailable as error:
                if error.status != 404:
                    raise Unavailable(f"the mirror {shown(mirror)}: {error}") from error
        return download(str(want.url))

    def download(url: str) -> str:
        return downloader.download(url, part, want.size, lambda done: bars.update(bar, completed=done))

    resumed = part.exists()
    origin = get()
    if resumed and not _right(part, want):  # the leftover may have been of another version of the file
        part.unlink()
        origin = get()
    _accept(cache, name, want, origin)


def _accept(cache: Path, name: str, want: WeightFile, origin: str) -> None:
    part = _part(cache, name)
    if (found := _sha256(part)) != want.sha256:
        size = part.stat().st_size
        part.unlink()
        raise FetchError(
            f"{name} from {origin} is not the file expected, and was deleted: "
            f"its SHA-256 is {found} ({size:,} bytes), not {want.sha256} ({want.size:,} bytes)"
        )
    os.replace(part, cache / name)


def _advice(files: Mapping[str, WeightFile], reasons: Mapping[str, str], mirror: str) -> str:
    lines = ["these files are missing and could not be fetched:"]
    for name, want in files.items():
        lines.append(f"  {name} ({want.size:,} bytes) from {shown(str(want.url))}: {reasons[name]}")
    if mirror and not _is_address(mirror):
        lines.append(f"The mirror {mirror} was searched first, and does not have them.")
    lines.append(
        "Without a network: put them, by these names, in a directory, set FACEGATE_MIRROR=/that/directory, "
        "and run the command again."
    )
    return "\n".join(lines)


def _right(path: Path, want: WeightFile) -> bool:
    return path.is_file() and _sha256(path) == want.sha256


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _part(cache: Path, name: str) -> Path:
    return cache / f"{name}.part"


def _is_address(mirror: str) -> bool:
    return mirror.lower().startswith(("http://", "https://"))


def _say(text: str) -> None:
    print(text, file=sys.stderr)
