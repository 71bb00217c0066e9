"""Files out of zips: the good ones, and every way in which one may be broken or made to hurt."""

from __future__ import annotations

import hashlib
import io
import os
import random
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.build.weights import archive
from facegate.build.weights.archive import extract
from facegate.errors import FetchError
from facegate.packs.pack_file import WeightFile

NAME = "net.onnx"
BODY = random.Random(1).randbytes(5000)
Doctor = Callable[[zipfile.ZipFile], object]


def zipped(
    entries: Mapping[str, bytes] | list[tuple[str | zipfile.ZipInfo, bytes]],
    doctor: Doctor = lambda opened: None,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A zip; `doctor` may change the entries before the table of contents is written, which then lies."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as opened:
        for name, body in entries.items() if isinstance(entries, Mapping) else entries:
            opened.writestr(name, body)
        doctor(opened)
    return memory.getvalue()


def lying(**fields: object) -> Doctor:
    """The table of contents says this of the last entry."""

    def doctor(opened: zipfile.ZipFile) -> None:
        for field, value in fields.items():
            setattr(opened.filelist[-1], field, value)

    return doctor


def wanted(body: bytes = BODY, name: str = NAME, size: int | None = -1) -> dict[str, WeightFile]:
    size = len(body) if size == -1 else size
    return {name: WeightFile(sha256=hashlib.sha256(body).hexdigest(), size=size, licence="MIT", archive="nets.zip")}


def link(name: str, kind: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    return entry


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to extract into, with a neighbour and a file of its own that have to stay as they are."""
    (tmp_path / "cache" / "other").mkdir(parents=True)
    (tmp_path / "cache" / "mine.onnx").write_bytes(b"mine")
    (tmp_path / "neighbour").write_bytes(b"neighbour")
    return tmp_path / "cache"


def extracted(content: bytes, place: Path, members: Mapping[str, WeightFile] | None = None) -> dict[str, bytes | None]:
    """What is new under the parent of `place`, by its path there."""
    (place.parent / "nets.zip").write_bytes(content)
    before = everything(place.parent)
    extract(place.parent / "nets.zip", members or wanted(), place)
    after = everything(place.parent)
    assert before.items() <= after.items()
    return dict(after.items() - before.items())


def refused(content: bytes, place: Path, members: Mapping[str, WeightFile] | None = None) -> str:
    """The error's text, when nothing has changed under the parent of `place`."""
    (place.parent / "nets.zip").write_bytes(content)
    before = everything(place.parent)
    with pytest.raises(FetchError) as caught:
        extract(place.parent / "nets.zip", members or wanted(), place)
    assert everything(place.parent) == before
    assert "nets.zip" in str(caught.value)
    return str(caught.value)


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise io.UnsupportedOperation


class TestExtract:
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    @pytest.mark.parametrize("inside", [NAME, f"buffalo_l/{NAME}", f"a/b c/é/{NAME}", f"./{NAME}"])
    def test_a_member_is_found_in_any_folder_and_put_under_its_own_name(
        self, place: Path, inside: str, method: int
    ) -> None:
        content = zipped({"a/": b"", "readme.txt": b"hello", inside: BODY}, method=method)
        assert extracted(content, place) == {f"cache/{NAME}": BODY}

    def test_several_members_and_a_file_of_unknown_size(self, place: Path) -> None:
        members = {**wanted(size=None), **wanted(b"two", "two.onnx")}
        content = zipped({"x/two.onnx": b"two", "x/three.onnx": b"three", f"x/{NAME}": BODY})
        assert extracted(content, place, members) == {f"cache/{NAME}": BODY, "cache/two.onnx": b"two"}

    def test_an_entry_of_exactly_that_name_is_preferred(self, place: Path) -> None:
        assert extracted(zipped({f"old/{NAME}": b"old", NAME: BODY}), place) == {f"cache/{NAME}": BODY}

    def test_a_folder_of_the_name_is_no_entry_of_it(self, place: Path) -> None:
        assert extracted(zipped({f"{NAME}/": b"", f"{NAME}/{NAME}": BODY}), place) == {f"cache/{NAME}": BODY}

    def test_a_file_that_was_there_is_replaced(self, place: Path) -> None:
        (place / NAME).write_bytes(b"old")
        (place.parent / "nets.zip").write_bytes(zipped({NAME: BODY}))
        extract(place.parent / "nets.zip", wanted(), place)
        assert (place / NAME).read_bytes() == BODY

    def test_modes_in_a_zip_are_not_taken_over(self, place: Path) -> None:
        extracted(zipped([(link(NAME, stat.S_IFREG | stat.S_ISUID), BODY)]), place)
        assert not (place / NAME).stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)

    def test_a_zip_may_have_something_before_it_such_as_a_program(self, place: Path) -> None:
        assert extracted(b"#!/bin/sh\n" + zipped({NAME: BODY}), place) == {f"cache/{NAME}": BODY}

    def test_a_zip_that_was_written_to_a_pipe(self, place: Path) -> None:
        """Its sizes come after the data, and with 64 bits."""
        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as opened:
            for name in ("x", NAME):
                with opened.open(name, "w", force_zip64=True) as entry:
                    entry.write(BODY)
        assert extracted(pipe.getvalue(), place) == {f"cache/{NAME}": BODY}


class TestMembers:
    def test_a_missing_one_is_told_with_what_there_is(self, place: Path) -> None:
        message = refused(zipped({"a/det.onnx": BODY, "readme.txt": b"hello"}), place)
        assert message == (
            f"nets.zip has no entries named {NAME}, where one is wanted; the ONNX files in it are 'a/det.onnx': "
            "correct [files] in the pack"
        )

    def test_one_that_is_there_twice_is_not_chosen_from(self, place: Path) -> None:
        message = refused(zipped({f"a/{NAME}": BODY, f"b/{NAME}": BODY}), place)
        assert f"2 entries named {NAME}" in message
        assert f"'a/{NAME}', 'b/{NAME}'" in message

    def test_a_long_list_ends(self, place: Path) -> None:
        message = refused(zipped({f"{number}.onnx": b"" for number in range(100)}), place)
        assert message.count(".onnx'") == archive.LISTED
        assert "and 80 more" in message
        assert "(none)" in refused(zipped({"readme.txt": b"hello"}), place)

    def test_a_wrong_one_is_told_with_both_hashes_and_the_right_ones_are_not_kept(self, place: Path) -> None:
        members = {**wanted(b"two", "two.onnx"), **wanted(), **wanted(b"four", "four.onnx")}
        message = refused(zipped({"two.onnx": b"TWO", NAME: BODY, "four.onnx": b"FOUR"}), place, members)
        lines = message.splitlines()
        assert len(lines) == 2
        for line, name, want, there in zip(lines, ("two", "four"), (b"two", b"four"), (b"TWO", b"FOUR"), strict=True):
            assert f"'{name}.onnx'" in line
            assert f"{hashlib.sha256(there).hexdigest()} ({len(there)} bytes), not " in line
            assert f"{hashlib.sha256(want).hexdigest()} ({len(want)} bytes)" in line

    def test_one_that_is_too_large_is_not_unpacked(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "larger than the 100 bytes" in refused(zipped({NAME: BODY}), place, wanted(size=100))
        monkeypatch.setattr(archive, "MOST", 4999)
        assert "larger than the 4,999 bytes" in refused(zipped({NAME: BODY}), place, wanted(size=None))

    def test_a_full_disk_leaves_nothing(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        members = {**wanted(), **wanted(b"two", "two.onnx")}
        (place.parent / "nets.zip").write_bytes(zipped({NAME: BODY, "two.onnx": b"two"}))
        before = everything(place.parent)
        (place / "two.onnx.part").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space"):
            extract(place.parent / "nets.zip", members, place)
        assert everything(place.parent) == before


class TestHostileNames:
    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            (f"../{NAME}", "climbs out"),
            (f"a/../../{NAME}", "climbs out"),
            ("..", "climbs out"),
            (f"/{NAME}", "absolute path"),
            (f"//host/{NAME}", "absolute path"),
            (f"C:{NAME}", "drive letter"),
            (f"c:/{NAME}", "drive letter"),
            (f"..\\{NAME}", "backslash"),
            (f"a\\{NAME}", "backslash"),
            (f"{NAME}\0.txt", "control character"),
            ("\0", "control character"),
            (f"\x1b[2J{NAME}", "control character"),
            (f"a\n{NAME}", "control character"),
            (f"\x85{NAME}", "control character"),
            ("", "has no name"),
        ],
    )
    def test_a_name_that_leads_elsewhere_refuses_the_whole_zip(self, place: Path, name: str, fault: str) -> None:
        content = zipped({NAME: BODY, "evil": BODY}, lying(filename=name))
        message = refused(content, place)
        assert fault in message
        assert f"its entry {name!r} " in message
        assert message.isprintable()

    def test_names_that_only_look_so_are_fine(self, place: Path) -> None:
        content = zipped({"..a/b..": b"", "a...onnx": b"", "ab:c": b"", NAME: BODY})
        assert extracted(content, place) == {f"cache/{NAME}": BODY}

    def test_a_long_name_is_cut_in_the_message(self, place: Path) -> None:
        assert len(refused(zipped({"../" + "x" * 60_000: b"", NAME: BODY}), place)) < 400

    def test_a_name_that_is_no_utf8_is_damage(self, place: Path) -> None:
        content = zipped({"é" * 4: b"", NAME: BODY})
        assert "no zip, or a damaged one" in refused(content.replace("é".encode(), b"\xff\xfe"), place)


class TestHostileEntries:
    @pytest.mark.parametrize(
        "kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR, 0o170000]
    )
    def test_a_special_file_refuses_the_whole_zip(self, place: Path, kind: int) -> None:
        assert "is a link or another special file" in refused(zipped([(NAME, BODY), (link("x", kind), b"/etc")]), place)
        assert f"'{NAME}' is a link" in refused(zipped([(link(NAME, kind), b"/etc/passwd")]), place)

    @pytest.mark.parametrize("bit", [0x1, 0x40, 0x2000])
    def test_an_encrypted_entry(self, place: Path, bit: int) -> None:
        assert "'x' is encrypted" in refused(zipped({NAME: BODY, "x": b""}, lying(flag_bits=bit)), place)

    def test_a_patch(self, place: Path) -> None:
        assert "packed in another way" in refused(zipped({NAME: BODY}, lying(flag_bits=0x20)), place)

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_another_packing(self, place: Path, method: int) -> None:
        assert "packed in another way than deflate" in refused(zipped({NAME: BODY}, method=method), place)

    def test_an_unknown_packing(self, place: Path) -> None:
        assert "packed in another way" in refused(zipped({NAME: BODY, "x": b""}, lying(compress_type=99)), place)

    def test_two_entries_of_one_name(self, place: Path) -> None:
        with pytest.warns(UserWarning, match="Duplicate"):
            content = zipped([("x", b"1"), (NAME, BODY), ("x", b"2")])
        assert "it has the entry 'x' 2 times" in refused(content, place)

    def test_too_many_entries(self, place: Path) -> None:
        assert "it has 1,001 entries" in refused(zipped({f"{n}": b"" for n in range(1001)}), place)
        assert extracted(zipped({**{f"{n}": b"" for n in range(999)}, NAME: BODY}), place)

    def test_a_table_of_contents_that_would_fill_the_memory_is_not_read(self, place: Path) -> None:
        content = zipped([(zipfile.ZipInfo("x" * 60_000 + str(n)), b"") for n in range(20)])
        assert "table of contents takes more than 1,048,576 bytes" in refused(content, place)


class TestBombs:
    def test_zeros_are_not_unpacked(self, place: Path) -> None:
        body = bytes(10 << 20)
        assert "unpacks to more than 100 times" in refused(zipped({NAME: body}), place, wanted(body))

    def test_a_bomb_beside_the_member_refuses_the_whole_zip(self, place: Path) -> None:
        assert "'x' unpacks to more than" in refused(zipped({NAME: BODY, "x": bytes(10 << 20)}), place)

    def test_a_zip_in_a_zip_is_a_file_like_any_other(self, place: Path) -> None:
        inner = zipped({f"{n}": bytes(1 << 20) for n in range(9)})
        assert extracted(zipped({"inner.zip": inner, NAME: BODY}), place) == {f"cache/{NAME}": BODY}

    def test_everything_together_is_too_large(self, place: Path) -> None:
        size = (1 << 32) - 2
        content = zipped({NAME: BODY, "x": b""}, lying(file_size=size, compress_size=size))
        assert f"its entries are {size + 5000:,} bytes together" in refused(content, place)

    @pytest.mark.parametrize("bound", [5000, None])
    def test_a_table_of_contents_that_makes_a_file_smaller_than_it_is(self, place: Path, bound: int | None) -> None:
        bomb = bytes(10 << 20)
        message = refused(zipped({NAME: bomb}, lying(file_size=5000)), place, wanted(size=bound))
        assert "damaged" in message or "SHA-256" in message

    def test_no_more_is_written_than_the_member_may_have(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Even from a zipfile that trusts neither header."""
        content = zipped({NAME: BODY})
        monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: io.BytesIO(bytes(1 << 20)))
        assert "is longer than 5,000 bytes" in refused(content, place)

    def test_entries_that_share_their_bytes(self, place: Path) -> None:
        """The kernel of a bomb that unpacks to petabytes: https://www.bamsoftware.com/hacks/zipbomb/."""
        shared = zipped({"x": BODY, NAME: BODY}, lying(header_offset=0, orig_filename="x"))
        assert "overlaps what comes after it" in refused(shared, place)

        def quoting(opened: zipfile.ZipFile) -> None:
            first, second = opened.filelist
            first.compress_size += second.compress_size + 30 + len(second.filename)

        assert "'x' overlaps what comes after" in refused(zipped({"x": BODY, NAME: BODY}, quoting), place)


class TestDamage:
    @pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>", b"PK\3\4" + bytes(1000), bytes(100_000)])
    def test_no_zip_at_all(self, place: Path, content: bytes) -> None:
        assert "it is no zip, or a damaged one: " in refused(content, place)

    def test_a_zip_cut_anywhere(self, place: Path) -> None:
        content = zipped({"x/": b"", f"x/{NAME}": BODY})
        for end in (*range(0, len(content) - 200, 97), *range(len(content) - 200, len(content))):
            assert "nothing was taken from nets.zip" in refused(content[:end], place)

    def test_a_damaged_entry_is_named(self, place: Path) -> None:
        content = bytearray(zipped({f"x/{NAME}": BODY}))
        content[2000] ^= 1
        assert f"its entry 'x/{NAME}' is damaged: Bad CRC-32" in refused(bytes(content), place)
        content = bytearray(zipped({f"{'x' * 60_000}/{NAME}": BODY}))
        content[archive.HEADER] ^= 1
        assert "is damaged: File name in directory" in (message := refused(bytes(content), place))
        assert len(message) < 600

    def test_an_empty_zip(self, place: Path) -> None:
        assert f"no entries named {NAME}" in refused(zipped({}), place)

    def test_an_entry_beyond_the_end(self, place: Path) -> None:
        for offset in (1 << 31, (1 << 32) - 2, 1 << 62):
            assert "overlaps what comes after" in refused(zipped({NAME: BODY}, lying(header_offset=offset)), place)

    def test_sizes_beyond_any_disk(self, place: Path) -> None:
        huge = (1 << 64) - 1
        refused(zipped({NAME: BODY}, lying(file_size=huge, compress_size=huge, header_offset=huge)), place)
        end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, huge, huge, huge, huge)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, huge, 1)
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        for content in (end64 + locator + end, locator + end, end, zipped({NAME: BODY}) + locator + end):
            refused(content, place)


SMALL = {"a/": b"", "a/two.onnx": b"two" * 40, NAME: random.Random(2).randbytes(300)}
ZIPS = (zipped(SMALL), zipped(SMALL, method=zipfile.ZIP_STORED))
MEMBERS = {**wanted(SMALL[NAME]), **wanted(SMALL["a/two.onnx"], "two.onnx")}


@settings(max_examples=500, deadline=None)
@given(
    content=st.sampled_from(ZIPS),
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 60) | st.just(0),
)
def test_whatever_happens_to_a_zip_either_the_right_bytes_come_out_or_nothing(
    content: bytes, flips: list[tuple[int, int]], cut: int
) -> None:
    changed = bytearray(content)
    for at, by in flips:
        changed[-1 - at % len(changed)] ^= by
    with tempfile.TemporaryDirectory() as folder:
        place, local = Path(folder, "cache"), Path(folder, "nets.zip")
        place.mkdir()
        local.write_bytes(changed[: len(changed) - cut])
        try:
            extract(local, MEMBERS, place)
        except FetchError as error:
            assert os.listdir(place) == []
            assert str(error).replace("\n", "").isprintable()
        else:
            assert everything(place) == {NAME: SMALL[NAME], "two.onnx": SMALL["a/two.onnx"]}
        assert sorted(os.listdir(folder)) == ["cache", "nets.zip"]
