"""Files by name and SHA-256: from the cache, else from a mirror, else from the web, some of them inside a zip."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from facegate.build.weights.archive import extract
from facegate.build.weights.arrival import accept, hashes, part_of, right, say, sha256_of
from facegate.build.weights.download import Downloader, open_client
from facegate.build.weights.lock import locked
from facegate.build.weights.mirror import is_address, named_files
from facegate.build.weights.web import OTHER, Files, Web
from facegate.errors import FetchError
from facegate.packs.pack_file import Download, WeightFile


def fetch(
    files: Files,
    cache: Path,
    *,
    mirror: str | None,
    archives: Mapping[str, Download] = MappingProxyType({}),
    progress: bool = True,
) -> dict[str, Path]:
    """The local path of each file, its SHA-256 checked: in `cache`, or where the file's own `path` says.

    `mirror` is a directory, searched with its subfolders for files of these names, or the http(s) address of one;
    what it lacks comes from the file's own address, then from its alternative's, or out of its zip in `archives`,
    which the mirror may have too. A zip that was downloaded is deleted once its files are out.
    `progress` shows bars on stderr when that is a terminal.
    Several processes may fetch into one cache. Raises FetchError; what did arrive stays for the next run.
    """
    remote = {name: want for name, want in files.items() if want.path is None}
    try:
        if faults := list(_faults_in_place(files)):
            raise FetchError("\n".join(faults))
        if not all(right(cache / name, want) for name, want in remote.items()):
            cache.mkdir(parents=True, exist_ok=True)
            with locked(cache):
                _fill(remote, _zips(remote, archives), cache, mirror or "", progress)
    except OSError as error:
        raise FetchError(f"{error.filename or cache}: {error.strerror or error}") from error
    return {name: want.path or cache / name for name, want in files.items()}


def _faults_in_place(files: Files) -> Iterator[str]:
    for name, want in files.items():
        if want.path is None:
            continue
        if not want.path.is_file():
            yield f"{name}: there is no file {want.path}; put it there, or correct its path in the pack"
        elif (found := sha256_of(want.path)) not in hashes(want):
            yield (
                f"{name}: the SHA-256 of {want.path} is {found}, not {' or '.join(hashes(want))}; "
                "put the right file there, or correct its sha256 in the pack"
            )


def _zips(files: Files, archives: Mapping[str, Download]) -> Files:
    """The zips that `files` come out of, as files on the web themselves."""
    zips = {want.archive: archives[want.archive] for want in files.values() if want.archive}
    return {name: WeightFile(licence="", **bundle.model_dump()) for name, bundle in zips.items()}


def _fill(files: Files, zips: Files, cache: Path, mirror: str, progress: bool) -> None:
    missing = {name: want for name, want in files.items() if not right(cache / name, want)}
    for name, want in missing.items():
        if (cache / name).exists():
            say(f"{cache / name} is deleted and fetched anew: its SHA-256 is not {' or '.join(hashes(want))}")
            (cache / name).unlink()
    if mirror and not is_address(mirror):
        _copy_from(Path(mirror).expanduser(), missing, zips, cache)
        missing = {name: want for name, want in missing.items() if not (cache / name).exists()}
    if missing:
        _download(missing, zips, cache, mirror, progress)
    for name in (*files, *zips):  # a leftover of what came from elsewhere in the end
        for kind in ("", OTHER):
            part_of(cache, name + kind).unlink(missing_ok=True)


def _copy_from(directory: Path, files: Files, zips: Files, cache: Path) -> None:
    hits = named_files(directory, {*files, *zips})
    for name, want in files.items():
        if hit := _first_right(hits[name], want):
            shutil.copyfile(hit, part_of(cache, name))
            accept(part_of(cache, name), cache / name, want, str(hit))
    for bundle, members in _by_zip({name: want for name, want in files.items() if not (cache / name).exists()}):
        if hit := _first_right(hits[bundle], zips[bundle]):
            extract(hit, members, cache)


def _first_right(hits: Collection[Path], want: WeightFile) -> Path | None:
    """The hit with the file's own SHA-256, else the one with its alternative's; says so when there is neither."""
    alternatives = []
    for hit in hits:
        found = sha256_of(hit) if hit.is_file() else ""
        if found == want.sha256:
            return hit
        if found in hashes(want):
            alternatives.append(hit)
    if alternatives:
        return alternatives[0]
    for hit in hits:
        say(f"{hit} is not used: its SHA-256 is not {' or '.join(hashes(want))}")
    return None


def _by_zip(files: Files) -> list[tuple[str, dict[str, WeightFile]]]:
    """The files that are inside zips, under the zip's name."""
    zips = dict.fromkeys(want.archive for want in files.values() if want.archive)
    return [(bundle, {name: want for name, want in files.items() if want.archive == bundle}) for bundle in zips]


def _download(files: Files, zips: Files, cache: Path, mirror: str, progress: bool) -> None:
    failed: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    quiet = not (progress and sys.stderr.isatty())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bars, open_client() as client:
        web = Web(cache, mirror, Downloader(client), bars)
        for name, want in files.items():
            if want.url:
                failed += web.bring(name, want)
        for bundle, members in _by_zip(files):
            failed += web.bring_zipped(bundle, zips[bundle], members)
    if failed:
        raise FetchError(_advice(failed, mirror))


def _advice(lines: list[str], mirror: str) -> str:
    searched = f"The mirror {mirror} was searched first, and does not have them."
    return "\n".join(
        [
            "these files are missing and could not be fetched:",
            *lines,
            *([searched] if mirror and not is_address(mirror) else []),
            "Without a network: put them, by these names, in a directory, set FACEGATE_MIRROR=/that/directory, "
            "and run the command again.",
        ]
    )


def is_here(name: str, want: WeightFile, cache: Path) -> bool:
    """Whether a file need not be fetched: it is in `cache`, or at its own path, with the right SHA-256."""
    return right(want.path or cache / name, want)
