"""The wanted files out of a zip that nobody vouches for: the whole of it is checked before anything is written."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from facegate.build.weights.download import CHUNK, MOST
from facegate.errors import FetchError
from facegate.packs.pack_file import WeightFile

ENTRIES = 1_000
TOTAL = 2 << 30  # bytes, of everything in the zip
TABLE = 1 << 20  # bytes of the table of contents: 1,000 entries at 1 KiB each, ten times what they usually take
RATIO = 100  # unpacked over packed: about 1.1 for weights, 3 to 20 for text, up to 1,032 for a bomb of zeros
HEADER = 30  # bytes, the least that stand before an entry's data
ENCRYPTED = 0x2041  # flag bits: encrypted, strongly encrypted, names hidden too
PATCH = 0x20  # flag bit: the data only say how to change another file
LISTED = 20

# What zipfile lets out of a zip that is damaged or made to hurt, found by flipping bytes.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError, struct.error)


def extract(archive: Path, members: Mapping[str, WeightFile], folder: Path) -> None:
    """Put each of `members`, its SHA-256 checked, into `folder` under its name there: all of them, or none.

    A member is the entry of that name, or else the only entry of that name in any folder of the zip.
    Raises FetchError, which names the zip and the entry, and then leaves nothing behind.
    """
    parts = {name: folder / f"{name}.part" for name in members}
    try:
        with _damage_told(archive, "it is no zip, or a damaged one"):
            _unpack_all(archive, members, parts)
        for name, part in parts.items():
            os.replace(part, folder / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _unpack_all(archive: Path, members: Mapping[str, WeightFile], parts: Mapping[str, Path]) -> None:
    with _Reader(io.FileIO(archive)) as file, zipfile.ZipFile(file) as opened:
        if fault := _fault(opened):
            raise _refusal(archive, fault)
        entries = _entries_of(members, opened, archive)
        for name, entry in entries.items():
            if entry.file_size > _most(members[name]):
                raise _refusal(
                    archive, f"its entry {_shown(entry)} is larger than the {_most(members[name]):,} bytes of {name}"
                )
        wrong = []
        for name, entry in entries.items():
            with _damage_told(archive, f"its entry {_shown(entry)} is damaged"):
                wrong.append(_unpack(opened, entry, name, members[name], parts[name]))
    if any(wrong):  # all of them, so that one download is enough to correct a pack
        raise FetchError("\n".join(f"{archive.name}: {line}" for line in wrong if line))


@contextmanager
def _damage_told(archive: Path, what: str) -> Iterator[None]:
    try:
        yield
    except FetchError:  # which is a RuntimeError too
        raise
    except DAMAGE as error:
        raise _refusal(archive, f"{what}: {(str(error) or type(error).__name__):.200}") from error


class _Reader(io.BufferedReader):
    """A file of which zipfile gets no more than TABLE bytes at once: it reads the table of contents in one piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > TABLE:
            raise zipfile.BadZipFile(f"its table of contents takes more than {TABLE:,} bytes")
        return super().read(size)


def _fault(opened: zipfile.ZipFile) -> str:
    """What makes the zip one to keep away from, or nothing."""
    entries = opened.infolist()
    if len(entries) > ENTRIES:
        return f"it has {len(entries):,} entries, more than {ENTRIES:,}"
    for entry in entries:
        for is_at_fault, fault in FAULTS:
            if is_at_fault(entry):
                return f"its entry {_shown(entry)} {fault}"
    if (total := sum(entry.file_size for entry in entries)) > TOTAL:
        return f"its entries are {total:,} bytes together, more than {TOTAL:,}"
    name, times = Counter(entry.filename for entry in entries).most_common(1)[0] if entries else ("", 1)
    if times > 1:
        return f"it has the entry {name!r} {times} times"
    return _overlap(entries, opened.start_dir)


def _overlap(entries: Iterable[zipfile.ZipInfo], end: int) -> str:
    """What is wrong with where the entries lie, in bytes from the file's start, all of them before `end`."""
    for entry in sorted(entries, key=lambda entry: entry.header_offset, reverse=True):
        if entry.header_offset < 0 or entry.header_offset + HEADER + entry.compress_size > end:
            return f"its entry {_shown(entry)} overlaps what comes after it"
        end = entry.header_offset
    return ""


def _is_special(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the zip was made without Unix modes
    return kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR and not entry.is_dir())


# The names are read from orig_filename: `filename` ends at the first NUL.
FAULTS: tuple[tuple[Callable[[zipfile.ZipInfo], object], str], ...] = (
    (lambda entry: not entry.orig_filename, "has no name"),
    (lambda entry: re.search(r"[\x00-\x1f\x7f-\x9f]", entry.orig_filename), "has a control character in its name"),
    (lambda entry: "\\" in entry.orig_filename, "has a backslash in its name"),
    (lambda entry: entry.orig_filename.startswith("/"), "has an absolute path"),
    (lambda entry: re.match(r"[A-Za-z]:", entry.orig_filename), "has a drive letter"),
    (lambda entry: ".." in entry.orig_filename.split("/"), "climbs out of its folder"),
    (_is_special, "is a link or another special file"),
    (lambda entry: entry.flag_bits & ENCRYPTED, "is encrypted"),
    (
        lambda entry: entry.flag_bits & PATCH or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
        "is packed in another way than deflate",
    ),
    (lambda entry: entry.file_size > RATIO * entry.compress_size, f"unpacks to more than {RATIO} times its size"),
)


def _entries_of(
    members: Mapping[str, WeightFile], opened: zipfile.ZipFile, archive: Path
) -> dict[str, zipfile.ZipInfo]:
    files = [entry for entry in opened.infolist() if not entry.is_dir()]
    found, faults = {}, []
    for name in members:
        inside = [entry for entry in files if entry.filename.rpartition("/")[2] == name]
        exact = [entry for entry in inside if entry.filename == name]
        if len(hits := exact or inside) == 1:
            found[name] = hits[0]
        else:
            faults.append(f"{len(hits) or 'no'} entries named {name}")
    if faults:
        nets = [_shown(entry) for entry in files if entry.filename.lower().endswith(".onnx")]
        listed = ", ".join(nets[:LISTED]) + f" and {len(nets) - LISTED} more" * (len(nets) > LISTED)
        raise FetchError(
            f"{archive.name} has {' and '.join(faults)}, where one is wanted; the ONNX files in it are "
            f"{listed or '(none)'}: correct [files] in the pack"
        )
    return found


def _unpack(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, want: WeightFile, part: Path) -> str:
    """Write one entry to `part`, and no byte more than it may have. Returns what is wrong with it, or nothing."""
    digest, size = hashlib.sha256(), 0
    with opened.open(entry) as source, part.open("wb") as out:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > _most(want):  # zipfile stops at the size in the table of contents, but need not for ever
                return f"the entry {_shown(entry)} is longer than {_most(want):,} bytes"
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() == want.sha256:
        return ""
    wanted = f"{want.sha256} ({want.size:,} bytes)" if want.size else want.sha256
    return (
        f"the entry {_shown(entry)} is not the {name} of the pack, and was not taken: its SHA-256 is "
        f"{digest.hexdigest()} ({size:,} bytes), not {wanted}; correct the pack if the zip is right"
    )


def _most(want: WeightFile) -> int:
    return want.size or MOST


def _shown(entry: zipfile.ZipInfo) -> str:
    return f"{entry.orig_filename!r:.100}"


def _refusal(archive: Path, fault: str) -> FetchError:
    return FetchError(
        f"nothing was taken from {archive.name}: {fault}; "
        "its files can come from elsewhere, by their names in a directory that FACEGATE_MIRROR names"
    )
