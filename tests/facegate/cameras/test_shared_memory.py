"""Frames in shared memory and a real Triton: that it reads the right ones, and what is left when either side dies."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from facegate.cameras.transports.carrier import CarrierError, RawCarrier
from facegate.cameras.transports.choice import choose
from facegate.cameras.transports.ring import SharedMemoryCarrier
from facegate_client import AsyncFaceClient, FaceGateError
from support.serving import serving, wait_for_line

KEY = "sesame"
SHM = Path("/dev/shm")


@pytest.fixture(scope="module")
def keyed(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "key").write_text(f"{KEY}\n")
    with serving(folder / "log", "--admin-key-file", str(folder / "key")) as running:
        yield running


@pytest.fixture(scope="module")
def frames(samples):
    """One person's picture: as it is, smaller, and a part of it without a face."""
    picture = cv2.imread(str(samples["image_T1.jpg"]))
    return [picture, cv2.resize(picture, None, fx=0.5, fy=0.5), np.ascontiguousarray(picture[420:])]


def files(names):
    """Those of `names` that are in /dev/shm, which other tests may use, too."""
    return {name for name in names if (SHM / name).exists()}


async def regions(client):
    return {region.name for region in await client.regions.listed(KEY, 5)}


async def shared(client, in_flight=2, admin_key=KEY):
    return (await choose("shared-memory", client, in_flight=in_flight, admin_key=admin_key)).make()


def faces_in(faces):
    return np.array([[*face.box, *np.ravel(face.landmarks)] for face in faces], np.float32).reshape(-1, 14)


async def both_calls(client, carrier, pixels):
    """What a camera asks: the faces, and then of these the liveness and the embeddings."""
    async with carrier.carry(pixels) as image:
        found = await client.analyze(image, embeddings=False)
        return found.as_dict(), (await client.analyze(image, faces=faces_in(found), anti_spoofing=True)).as_dict()


def test_the_server_sees_the_very_pixels_each_frame_its_own(keyed, frames):
    async def run():
        async with AsyncFaceClient(keyed.grpc) as client:
            expected = [await both_calls(client, RawCarrier(), pixels) for pixels in frames]
            assert [len(found["faces"]) for found, _ in expected] == [1, 1, 0]
            carrier = await shared(client, in_flight=3)
            order = [number % 3 for number in range(1, 19)]
            answers = await asyncio.gather(*(both_calls(client, carrier, frames[number]) for number in order))
            assert answers == [expected[number] for number in order]
            held = await regions(client)
            assert len(held) == 1 and files(held) == held
            await carrier.close()
            assert await regions(client) == files(held) == set()

    asyncio.run(run())


def test_the_same_image_stands_for_its_pixels_with_a_client_that_the_server_was_not_told_by(keyed, frames):
    async def run():
        async with AsyncFaceClient(keyed.grpc) as client, AsyncFaceClient(keyed.http, protocol="http") as other:
            carrier = await shared(client)
            async with carrier.carry(frames[0]) as image:
                assert (await other.analyze(image)).as_dict() == (await client.analyze(image)).as_dict()
            await carrier.close()

    asyncio.run(run())


def test_a_server_killed_in_the_middle_is_told_again(keyed, frames):
    async def run():
        async with AsyncFaceClient(keyed.grpc, timeout_s=20) as client:
            carrier = await shared(client)
            before = await both_calls(client, carrier, frames[0])
            async with carrier.carry(frames[0]) as image:
                found = await client.analyze(image, embeddings=False)
                ready = keyed.log.read_text().count("facegate: ready:")
                tritons = psutil.Process(keyed.process.pid).children()
                next(each for each in tritons if "tritonserver" in each.name()).kill()
                await asyncio.to_thread(
                    wait_for_line, keyed.process, keyed.log, "facegate: ready:", count=ready + 1, seconds=60
                )
                judged = None
                while judged is None:
                    try:
                        judged = await client.analyze(image, faces=faces_in(found), anti_spoofing=True)
                    except FaceGateError as error:
                        assert "answers at" in str(error)  # the channel has not noticed yet
                        await asyncio.sleep(0.1)
            assert (found.as_dict(), judged.as_dict()) == before
            assert len(await regions(client)) == 1
            assert set(await asyncio.gather(*(len_of(client, carrier, frames[0]) for _ in range(6)))) == {1}
            await carrier.close()
            assert await regions(client) == set()

    async def len_of(client, carrier, pixels):
        return len((await both_calls(client, carrier, pixels))[0]["faces"])

    asyncio.run(asyncio.wait_for(run(), 90))


def test_calls_that_were_given_up_leave_nothing_in_the_server(keyed):
    async def run():
        noise = np.random.default_rng(0).integers(0, 256, (2160, 3840, 3), np.uint8)
        async with AsyncFaceClient(keyed.grpc) as client:
            carrier = await shared(client, in_flight=3)
            calls = [asyncio.create_task(both_calls(client, carrier, noise)) for _ in range(3)]
            while not (held := await regions(client)):
                await asyncio.sleep(0.01)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await carrier.close()
            assert await regions(client) == files(held) == set()

    asyncio.run(run())


PROGRAM = """
import asyncio, sys, numpy as np
from facegate_client import AsyncFaceClient
from facegate.cameras.transports.choice import choose

async def run():
    async with AsyncFaceClient(sys.argv[1]) as client:
        carrier = (await choose("shared-memory", client, in_flight=2, admin_key=sys.argv[2])).make()
        try:
            async with carrier.carry(np.zeros((480, 640, 3), np.uint8)) as image:
                while True:
                    await client.analyze(image, embeddings=False)
                    print("answered", flush=True)
        finally:
            await carrier.close()

asyncio.run(run())
"""


@contextmanager
def other_process(address):
    command = [sys.executable, "-c", PROGRAM, address, KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "answered\n"
            yield process
        finally:
            process.kill()


def test_what_a_killed_process_left_is_freed_by_the_next_and_what_a_living_one_has_is_not(keyed):
    async def now():
        async with AsyncFaceClient(keyed.grpc) as client:
            return await regions(client)

    async def next_run():
        async with AsyncFaceClient(keyed.grpc) as client:
            await (await shared(client)).close()

    with other_process(keyed.grpc) as living:
        theirs = asyncio.run(now())
        with other_process(keyed.grpc) as killed:
            both = asyncio.run(now())
            assert len(theirs) == 1 and len(both) == 2 and files(both) == both
            killed.kill()
            assert killed.communicate(timeout=20)[1] == ""
        asyncio.run(next_run())
        assert asyncio.run(now()) == files(both) == theirs
        assert living.poll() is None
        living.send_signal(signal.SIGINT)
        _, errors = living.communicate(timeout=20)
    assert errors.endswith("KeyboardInterrupt\n"), "it was answered up to then"
    assert "leaked" not in errors
    assert asyncio.run(now()) == files(both) == set()


def test_a_server_that_comes_back_and_will_not_share_gets_the_pixels(keyed, frames, caplog):
    """As one that is started anew with another key does: it has forgotten the region, and refuses it."""

    async def run():
        async with AsyncFaceClient(keyed.grpc) as client:
            carrier = await shared(client)
            expected = await both_calls(client, carrier, frames[0])
            (name,) = await regions(client)
            told = client.regions._told[name][0]
            await client.regions.unregister(name, KEY, 5)
            client.regions._told[name] = told, "wrong-word"
            assert [await both_calls(client, carrier, frames[0]) for _ in range(2)] == [expected] * 2
            await carrier.close()

    asyncio.run(run())
    assert caplog.text.count("sent as raw pixels from now on") == 1
    assert "wrong-word" not in caplog.text


@pytest.mark.parametrize(
    ("admin_key", "remedy"), [(None, "set FACEGATE_ADMIN_KEY to its key"), ("wrong-word", "this is another")]
)
def test_a_server_that_keeps_it_to_itself_is_said_with_the_remedy(server, admin_key, remedy):
    async def run(kind):
        async with AsyncFaceClient(server.grpc) as client:
            choice = await choose(kind, client, in_flight=1, admin_key=admin_key)
            return choice.make(), choice.reason

    with pytest.raises(CarrierError) as refused:
        asyncio.run(run("shared-memory"))
    carrier, reason = asyncio.run(run("auto"))
    assert isinstance(carrier, RawCarrier)
    assert reason.startswith(f"as raw pixels: {server.grpc} is this machine, but no shared memory: ")
    for said in (str(refused.value), reason):
        assert "--client-shm" in said
        assert remedy in said
        assert "wrong-word" not in said
        assert "\n" not in said


def test_client_shm_opens_it_without_a_key(open_server, frames):
    async def run(address):
        async with AsyncFaceClient(address) as client:
            choice = await choose("auto", client, in_flight=1)
            carrier = choice.make()
            assert isinstance(carrier, SharedMemoryCarrier)
            assert choice.reason == "by shared memory: the server is on this machine"
            found, _ = await both_calls(client, carrier, frames[0])
            await carrier.close()
            return len(found["faces"])

    assert asyncio.run(run(open_server.grpc)) == 1


def test_a_file_that_the_server_cannot_open_is_said(open_server, tmp_path):
    """Another user's and another /dev/shm's are the same in Triton's eyes."""
    program = PROGRAM.replace(
        "asyncio.run(run())",
        "import pathlib, facegate.cameras.transports.shared_file as f\n"
        "f.FOLDER = pathlib.Path(sys.argv[3])\nasyncio.run(run())",
    )
    command = [sys.executable, "-c", program, open_server.grpc, KEY, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "cannot open this process's shared memory: it has another /dev/shm, or runs as another user" in ended.stderr


def test_a_server_without_a_gpu_refuses_a_gpus_memory_and_stays_well(open_server):
    async def run():
        async with triton_aio.InferenceServerClient(open_server.grpc) as triton:
            with pytest.raises(InferenceServerException):
                await triton.register_cuda_shared_memory("facegate-cuda-x", b64encode(bytes(64)), 0, 16)
            assert await triton.is_server_ready()

    asyncio.run(run())
