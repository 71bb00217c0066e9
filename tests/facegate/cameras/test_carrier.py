"""How a frame gets to the server, as far as no server is needed to tell."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from facegate.cameras.transports import shared_file
from facegate.cameras.transports.carrier import CarrierError, RawCarrier
from facegate.cameras.transports.choice import choose
from facegate.cameras.transports.jpeg import JpegCarrier
from facegate.cameras.transports.ring import SharedMemoryCarrier, try_out
from facegate.cameras.transports.shared_file import SharedFile
from facegate_client import AsyncFaceClient, BadImage, FaceGateError, Unreachable
from facegate_client.images import SharedFrame, image_tensors
from facegate_client.transport.base import Place, Region, triton_inputs

RNG = np.random.default_rng(7)


def picture(height=48, width=64):
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_file, "FOLDER", tmp_path)
    return tmp_path


class Books:
    """A server's register, and how it refuses."""

    def __init__(self, folder):
        self.folder, self.regions, self.refusals = folder, {}, []

    async def register(self, region, admin_key, timeout_s):
        assert (self.folder / region.key[1:]).stat().st_size == region.size
        self._refuse()
        self.regions[region.name] = region

    async def unregister(self, name, admin_key, timeout_s):
        self._refuse()
        self.regions.pop(name, None)

    async def listed(self, admin_key, timeout_s):
        return list(self.regions.values())

    def _refuse(self):
        if self.refusals:
            raise self.refusals.pop(0)

    def seen_at(self, frame):
        """What the server finds where the frame says that it lies."""
        region = self.regions[frame.place.region]
        held = np.fromfile(self.folder / region.key[1:], np.uint8)
        return held[frame.place.offset : frame.place.offset + frame.pixels.nbytes].reshape(frame.pixels.shape)


@pytest.fixture
def books(folder):
    return Books(folder)


def test_a_frame_in_shared_memory_goes_as_its_place_and_elsewhere_as_its_bytes():
    frame = SharedFrame(picture(), Place("ring", 4096))
    for module, told in ((tritonclient.grpc, ["ring"]), (tritonclient.grpc, ["other"]), (tritonclient.http, [])):
        sent, shape = triton_inputs(module.InferInput, image_tensors(frame), told)
        if "ring" in told:
            parameters = sent._get_tensor().parameters
            assert parameters["shared_memory_region"].string_param == "ring"
            assert parameters["shared_memory_byte_size"].int64_param == frame.pixels.nbytes
            assert parameters["shared_memory_offset"].int64_param == 4096
            assert sent._get_content() is None
        else:
            raw = sent._get_content() if module is tritonclient.grpc else sent._get_binary_data()
            assert raw == frame.pixels.tobytes()
        assert shape.name() == "FRAME_SHAPE"


def test_raw_is_the_pixels_and_a_jpeg_is_nearly_them():
    smooth = cv2.GaussianBlur(picture(), (0, 0), 4)

    async def carried():
        async with RawCarrier().carry(smooth) as raw, JpegCarrier().carry(smooth) as jpeg:
            return raw, cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)

    raw, jpeg = asyncio.run(carried())
    assert raw is smooth
    assert np.abs(jpeg.astype(int) - smooth).max() < 16


@pytest.mark.parametrize("make", [lambda books: JpegCarrier(), lambda books: SharedMemoryCarrier(books, None, 1)])
def test_what_is_no_frame_is_refused_before_any_work(books, make):
    async def carry():
        async with make(books).carry(np.zeros((4, 4), np.uint8)):
            pass

    with pytest.raises(BadImage, match="height, width, 3"):
        asyncio.run(carry())
    assert not books.regions


def test_each_frame_lies_in_a_slot_of_its_own_until_its_block_is_left(books):
    async def run():
        carrier = SharedMemoryCarrier(books, None, 3)
        most = now = 0

        async def one(pixels):
            nonlocal most, now
            async with carrier.carry(pixels) as frame:
                now += 1
                most = max(most, now)
                for _ in range(3):
                    await asyncio.sleep(0)
                    assert np.array_equal(books.seen_at(frame), pixels)
                now -= 1

        await asyncio.gather(*(one(picture(8 + number % 5)) for number in range(40)))
        assert most == 3
        assert len(books.regions) == 1
        await carrier.close()

    asyncio.run(run())
    assert not books.regions
    assert not list(books.folder.iterdir())


def test_a_larger_frame_makes_a_new_ring_and_the_old_one_lasts_as_long_as_its_frames(books):
    async def run():
        carrier = SharedMemoryCarrier(books, None, 2)
        small, large = picture(8), picture(80)
        async with carrier.carry(small) as first:
            async with carrier.carry(large) as second:
                assert np.array_equal(books.seen_at(first), small)
                assert np.array_equal(books.seen_at(second), large)
                assert len(books.regions) == len(list(books.folder.iterdir())) == 2
            async with carrier.carry(small) as third:
                assert third.place.region == second.place.region
        assert len(books.regions) == len(list(books.folder.iterdir())) == 1
        await carrier.close()

    asyncio.run(run())
    assert not books.regions


def test_a_cancelled_frame_gives_its_slot_back(books):
    async def run():
        carrier = SharedMemoryCarrier(books, None, 1)

        async def hold():
            async with carrier.carry(picture()):
                await asyncio.sleep(60)

        held = asyncio.create_task(hold())
        waiting = asyncio.create_task(hold())
        await asyncio.sleep(0.01)
        for task in (waiting, held):
            task.cancel()
        await asyncio.gather(held, waiting, return_exceptions=True)
        pixels = picture()
        async with carrier.carry(pixels) as frame:
            assert np.array_equal(books.seen_at(frame), pixels)
        await carrier.close()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_ring_that_the_server_refuses_leaves_no_file(books):
    books.refusals = [FaceGateError("no")]

    async def run():
        async with SharedMemoryCarrier(books, None, 1).carry(picture()):
            pass

    with pytest.raises(FaceGateError, match=r"^no$"):
        asyncio.run(run())
    assert not list(books.folder.iterdir())


def test_a_server_that_is_away_for_now_does_not_lose_the_frame(books):
    books.refusals = [Unreachable("away")]

    async def run():
        async with SharedMemoryCarrier(books, None, 1).carry(picture()) as frame:
            return isinstance(frame, SharedFrame)

    assert asyncio.run(run())


def test_a_region_in_use_is_let_go_of_a_little_later(books):
    async def run():
        carrier = SharedMemoryCarrier(books, None, 1)
        async with carrier.carry(picture()):
            pass
        books.refusals = [FaceGateError("in use")]
        await carrier.close()

    asyncio.run(run())
    assert not books.regions


def test_a_trial_frees_what_the_dead_left_and_nothing_else(books):
    alive, orphan = SharedFile(10), books.folder / f"{shared_file.START}orphan"
    orphan.touch()
    (books.folder / "somebody-elses").touch()
    for name in (alive.name, orphan.name, "somebody-elses"):
        books.regions[name] = Region(name, f"/{name}", 10)
    asyncio.run(try_out(books, None))
    assert sorted(books.regions) == sorted([alive.name, "somebody-elses"])
    assert sorted(path.name for path in books.folder.iterdir()) == sorted([alive.name, "somebody-elses"])


def test_a_trial_waits_for_the_call_that_a_killed_process_had_with_the_server(books):
    orphan = Region(f"{shared_file.START}orphan", f"/{shared_file.START}orphan", 10)

    async def listed(admin_key, timeout_s):
        books.regions[orphan.name], books.refusals = orphan, [FaceGateError("in use")]
        return list(books.regions.values())

    books.listed = listed
    asyncio.run(try_out(books, None))
    assert books.regions == {}


def test_a_trial_follows_no_link_and_waits_for_no_pipe(books):
    treasure = books.folder / "treasure"
    treasure.touch()
    (books.folder / f"{shared_file.START}link").symlink_to(treasure)
    os.mkfifo(books.folder / f"{shared_file.START}pipe")
    (books.folder / f"{shared_file.START}folder").mkdir()
    asyncio.run(try_out(books, None))
    assert treasure.exists()


def test_a_file_is_private_and_its_name_is_none_that_triton_refuses(folder):
    file = SharedFile(100)
    assert (folder / file.name).stat().st_mode & 0o777 == 0o600
    assert not file.name.startswith("triton_python_backend_shm_region_")
    with (folder / file.name).open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_orphan_hunt_between_making_and_locking_costs_no_more_than_another_name(folder, monkeypatch):
    lock, hunted = fcntl.flock, []

    def late(handle, how):
        if not hunted and how == fcntl.LOCK_EX:
            hunted.append(True)
            shared_file.remove_orphans()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    file = SharedFile(10)
    assert [path.name for path in folder.iterdir()] == [file.name]


def test_no_room_is_said_at_once_and_leaves_nothing(monkeypatch):
    name = secrets.token_hex(8)
    monkeypatch.setattr(secrets, "token_hex", lambda _: name)
    with pytest.raises(OSError, match=r"No space left|too large"):
        SharedFile(1 << 50)
    assert not (shared_file.FOLDER / f"{shared_file.START}{name}").exists()


def test_no_room_for_a_ring_is_one_line_with_the_remedy(books, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))

    async def run():
        async with SharedMemoryCarrier(books, None, 2).carry(picture(512, 1024)):
            pass

    with pytest.raises(CarrierError, match=r"^no 3\.0 MiB of shared memory: No space left.*; give /dev/shm more, or"):
        asyncio.run(run())
    assert not list(books.folder.iterdir())


def test_where_there_is_no_room_auto_sends_the_pixels_and_says_so_once(books, monkeypatch, caplog):
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    pixels = picture(512, 1024)

    async def run():
        carrier = SharedMemoryCarrier(books, None, 2, or_raw=True)
        for _ in range(3):
            async with carrier.carry(pixels) as image:
                assert image is pixels

    asyncio.run(run())
    assert caplog.text.count("sent as raw pixels") == 1
    assert not list(books.folder.iterdir())


OWNER = """
import sys, time, pathlib
from facegate.cameras.transports import shared_file
shared_file.FOLDER = pathlib.Path(sys.argv[1])
file = shared_file.SharedFile(4096)
print(file.name, flush=True)
{then}
"""


def owner(folder, then):
    command = [sys.executable, "-c", OWNER.format(then=then), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, folder / process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("then", "said"), [("", ""), ("1/0", "ZeroDivisionError"), ("import os; os.fork() or sys.exit(); os.wait()", None)]
)
def test_a_process_that_ends_takes_its_file_with_it(tmp_path, then, said):
    process, path = owner(tmp_path, then)
    _, errors = process.communicate(timeout=20)
    assert not path.exists()
    assert said is None or said in errors
    assert "leaked" not in errors


def test_a_file_outlives_a_forked_child_and_a_hunt_and_not_its_killed_owner_and_a_hunt(folder):
    process, path = owner(
        folder, "import os; os.fork() or sys.exit(); os.wait(); print('on', flush=True); time.sleep(60)"
    )
    try:
        assert process.stdout.readline() == "on\n"
        shared_file.remove_orphans()
        assert path.exists()
    finally:
        process.send_signal(signal.SIGKILL)
    assert "leaked" not in process.communicate(timeout=20)[1]
    assert path.exists()
    shared_file.remove_orphans()
    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "kind", "reason"),
    [
        ("192.0.2.1:8001", "auto", "as JPEG of quality 95: 192.0.2.1:8001 is another machine"),
        ("no-such-host.invalid:8001", "auto", "as JPEG of quality 95: no-such-host.invalid:8001 is another machine"),
        ("192.0.2.1:8001", "raw", "as raw pixels, as asked for"),
        ("192.0.2.1:8001", "jpeg", "as JPEG of quality 95, as asked for"),
    ],
)
def test_no_server_is_asked_where_none_has_to_be(url, kind, reason):
    async def run():
        async with AsyncFaceClient(url) as client:
            return (await choose(kind, client, in_flight=1)).reason

    assert asyncio.run(run()) == reason


@pytest.mark.parametrize("url", ["localhost:9", "127.0.0.2:9", "[::1]:9", None])
def test_http_to_this_machine_is_raw_and_says_why(url):
    async def run(kind):
        async with AsyncFaceClient(url, protocol="http") as client:
            return (await choose(kind, client, in_flight=1)).reason

    if url == "[::1]:9" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    assert "but no shared memory: shared memory takes gRPC" in asyncio.run(run("auto"))
    with pytest.raises(CarrierError, match="takes gRPC"):
        asyncio.run(run("shared-memory"))


def test_a_server_that_does_not_answer_is_no_reason_to_choose_otherwise_than_asked():
    async def run(kind):
        async with AsyncFaceClient("127.0.0.1:9") as client:
            return await choose(kind, client, in_flight=1)

    with pytest.raises(Unreachable):
        asyncio.run(run("shared-memory"))
    choice = asyncio.run(run("auto"))  # with a fallback, this process may answer meanwhile
    assert isinstance(choice.make(), RawCarrier) and "no FaceGate server answers" in choice.reason
