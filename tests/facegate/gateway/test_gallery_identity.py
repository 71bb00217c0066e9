"""The gallery's file is the one at its path: removed, replaced, missing, locked, full or open to others, it is said."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facegate.errors import ServeError
from facegate.gateway.errors import Code, GatewayError
from facegate.gateway.gallery import Gallery
from facegate.gateway.gallery.open import open_gallery
from support.galleries import EXPORTED, ORIGIN, Postgres, embeddings, gallery_command, opened, postgres
from support.gateway import Gateway, gateway
from support.rest import refused
from support.serving import ROOT

NOBODY = "127.0.0.1:1"
"""A Triton that is not there."""


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine" / "people.db"


def remove(file: Path) -> None:
    file.unlink()


def rename(file: Path) -> None:
    file.rename(file.with_name("away.db"))


def rename_directory(file: Path) -> None:
    file.parent.rename(file.parent.with_name("away"))


def replace(file: Path) -> None:
    shutil.copy(file, file.with_name("backup.db"))
    file.with_name("backup.db").replace(file)


def remove_log(file: Path) -> None:
    file.with_name(file.name + "-wal").unlink()


def remove_index(file: Path) -> None:
    file.with_name(file.name + "-shm").unlink()


async def unavailable(gallery: Gallery, person_id: str) -> None:
    """Nothing is read, stored or forgotten."""
    for asked in (
        gallery.enroll("Bert", {}, embeddings(1, seed=1), ORIGIN),
        gallery.add_photos(person_id, embeddings(1, seed=1), ORIGIN),
        gallery.forget(person_id),
        gallery.search(embeddings(1)[0], ORIGIN, 1),
        gallery.people("", 10),
        gallery.is_ready(),
    ):
        with pytest.raises(GatewayError, match="nothing was stored") as raised:
            await asked
        assert raised.value.failure.code is Code.UNAVAILABLE


@pytest.mark.parametrize("change", [remove, rename, rename_directory, replace, remove_log, remove_index])
def test_nothing_is_acknowledged_when_the_file_is_no_longer_the_one_at_its_path(
    file: Path, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with opened(str(file)) as gallery:
            anna = await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            change(file)
            await unavailable(gallery, anna.id)

    asyncio.run(run())
    (said,) = [each for each in caplog.messages if "removed, renamed or replaced" in each]
    assert str(file) in said and "restart the gateway" in said


def test_a_file_that_is_put_back_is_served_again(file: Path) -> None:
    async def run() -> None:
        async with opened(str(file)) as gallery:
            anna = await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            file.rename(file.with_name("away.db"))
            await unavailable(gallery, anna.id)
            file.with_name("away.db").rename(file)
            assert await gallery.is_ready()
            await gallery.enroll("Bert", {}, embeddings(1, seed=1), ORIGIN)
        async with opened(str(file)) as gallery:
            assert [person.name for person in await gallery.people("", 10)] == ["Anna", "Bert"]

    asyncio.run(run())


def test_a_symbolic_link_that_points_to_another_file_is_noticed(file: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(str(file)):
            pass
        shutil.copy(file, tmp_path / "other.db")
        link = tmp_path / "link.db"
        link.symlink_to(file)
        async with opened(str(link)) as gallery:
            anna = await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            link.unlink()
            link.symlink_to(tmp_path / "other.db")
            await unavailable(gallery, anna.id)

    asyncio.run(run())


def test_a_person_whose_forgetting_is_finished_in_another_file_is_not_acknowledged(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call for a person whose bytes could not be overwritten at the first."""
    monkeypatch.setattr("facegate.gateway.gallery.sqlite.file.BUSY_MS", 50)

    async def run() -> None:
        async with opened(str(file)) as gallery:
            anna = await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as reading:
                reading.execute("BEGIN")
                reading.execute("SELECT * FROM photo").fetchall()
                with pytest.raises(GatewayError, match="not yet written over"):
                    await gallery.forget(anna.id)
            await gallery.enroll("Bert", {}, embeddings(1, seed=1), ORIGIN)  # overwrites what Anna left
            replace(file)
            with pytest.raises(GatewayError, match="removed, renamed or replaced"):
                await gallery.forget(anna.id)

    asyncio.run(run())


def ready(running: Gateway, expected: bool) -> dict[str, bool]:
    """`/readyz` once its `gallery` is so."""
    for _ in range(100):
        answer = httpx.get(f"{running.base}/readyz").json()
        if answer["gallery"] is expected:
            return dict(answer)
        time.sleep(0.1)
    raise AssertionError(f"gallery is not {expected}: {answer}\n{running.log.read_text()}")


def reasons(log: Path) -> list[str]:
    """Why the gallery was not ready, as the log has it."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line["gallery_reason"] for line in lines if line["event"] == "readiness" and "gallery_reason" in line]


def test_enrollments_after_a_file_was_removed_are_refused_and_not_lost(server, samples, tmp_path):
    picture = {"img": samples["image_T1.jpg"].read_bytes()}
    file = tmp_path / "people.db"
    with (
        gateway(tmp_path / "log", server.grpc, "--gallery", str(file)) as running,
        grpc.insecure_channel(running.grpc) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)

        def register() -> httpx.Response:
            return httpx.post(f"{running.base}/v1/face/register", data={"name": "Ada"}, files=picture, timeout=30)

        assert register().status_code == 200
        assert ready(running, True)["ready"]
        file.rename(file.with_name("away.db"))
        assert "nothing was stored" in refused(register(), 503, "UNAVAILABLE")["message"]
        identified = httpx.post(f"{running.base}/v1/face/identify", files=picture, timeout=30)
        refused(identified, 503, "UNAVAILABLE")
        assert not ready(running, False)["ready"]
        status = health.Check(health_pb2.HealthCheckRequest(), timeout=10).status
        assert status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not file.exists()
        file.with_name("away.db").rename(file)
        ready(running, True)
        assert register().status_code == 200
        assert len(httpx.get(f"{running.base}/v1/face/people").json()["people"]) == 2
    assert "removed, renamed or replaced" in reasons(running.log)[0]


def test_of_two_gateways_on_one_path_the_one_whose_file_was_replaced_refuses(tmp_path):
    file = tmp_path / "people.db"
    with gateway(tmp_path / "first", NOBODY, "--gallery", str(file)) as first:
        ready(first, True)
        replace(file)
        with gateway(tmp_path / "second", NOBODY, "--gallery", str(file)) as second:
            ready(first, False)
            ready(second, True)
            assert httpx.get(f"{first.base}/v1/face/people").status_code == 503
            assert httpx.get(f"{second.base}/v1/face/people").status_code == 200


def test_a_gallery_that_another_program_locks_is_not_ready(tmp_path):
    file = tmp_path / "people.db"
    with gateway(tmp_path / "log", NOBODY, "--gallery", str(file)) as running:
        ready(running, True)
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ready(running, False)
            other.execute("ROLLBACK")
        ready(running, True)
    assert "locked" in reasons(running.log)[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(directory)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def test_a_gallery_on_a_full_disk_is_not_ready(small_disk: Path, tmp_path: Path) -> None:
    with gateway(tmp_path / "log", NOBODY, "--gallery", str(small_disk / "people.db")) as running:
        ready(running, True)
        full = small_disk / "other"
        with contextlib.suppress(OSError), full.open("wb") as other:
            while True:
                other.write(bytes(2**16))
                other.flush()
        ready(running, False)
        full.unlink()
        ready(running, True)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=False)


def test_a_gallery_is_not_ready_after_a_write_failed_until_one_would_succeed(file: Path) -> None:
    """As with a quota, or a disk that fails: the file system itself says nothing."""

    async def run() -> None:
        async with opened(str(file)) as gallery:
            assert await gallery.is_ready()
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
            try:
                with pytest.raises(GatewayError) as raised:
                    await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
                assert raised.value.failure.code is Code.UNAVAILABLE
                with pytest.raises(GatewayError):
                    await gallery.is_ready()
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert await gallery.is_ready()
            await gallery.enroll("Bert", {}, embeddings(1, seed=1), ORIGIN)

    asyncio.run(run())


def test_a_database_that_cannot_be_written_is_not_ready(database: Postgres) -> None:
    address = database.database()
    name = address.partition("?")[0].rpartition("/")[2]

    async def not_ready(gallery: Gallery, why: str) -> None:
        with pytest.raises(GatewayError, match=why) as raised:
            await gallery.is_ready()
        assert raised.value.failure.code is Code.UNAVAILABLE

    async def run() -> None:
        async with opened(address) as gallery:
            assert await gallery.is_ready()
            with psycopg.connect(address) as other:
                other.execute("LOCK TABLE facegate.photo")
                await not_ready(gallery, "does not answer")
            assert await gallery.is_ready()
            with psycopg.connect(address, autocommit=True) as other:
                other.execute("ALTER SCHEMA facegate RENAME TO away")
                await not_ready(gallery, "tables are no longer")
                with pytest.raises(GatewayError, match="tables are no longer"):
                    await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
                other.execute("ALTER SCHEMA away RENAME TO facegate")
                assert await gallery.is_ready()
                other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        async with opened(address) as gallery:
            await not_ready(gallery, "read-only")
            assert await gallery.people("", 1) == []

    asyncio.run(run())


def test_a_new_gallery_is_logged_and_where_it_must_exist_refused(
    file: Path, database: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    empty = file.with_name("empty.db")
    empty.parent.mkdir()
    empty.touch()
    address = database.database()
    for location in (str(file), str(empty), address):
        with pytest.raises(ServeError, match="there is no gallery") as raised:
            open_gallery(location, None, must_exist=True)
        assert "\n" not in str(raised.value)
        caplog.clear()
        asyncio.run(open_gallery(location, None).close())
        assert len([each for each in caplog.messages if "created" in each]) == 1
        caplog.clear()
        asyncio.run(open_gallery(location, None, must_exist=True).close())
        assert caplog.messages == []
    assert not (file.parent / "other").exists()


def test_a_gateway_says_that_it_created_a_gallery_and_does_not_where_it_must_exist(tmp_path):
    file = tmp_path / "volume" / "people.db"
    environment = {"FACEGATE_GATEWAY_GALLERY_MUST_EXIST": "true"}
    command = [sys.executable, "-m", "facegate", "gateway", "--gallery", str(file)]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 1
    assert f"{file}: there is no gallery" in ended.stderr.strip().splitlines()[-1]
    assert not file.parent.exists()
    with gateway(tmp_path / "log", NOBODY, "--gallery", str(file)) as running:
        pass
    assert "created" in running.log.read_text()
    with gateway(tmp_path / "log", NOBODY, "--gallery", str(file), environment=environment) as running:
        pass
    assert "created" not in running.log.read_text()


def test_a_missing_gallery_is_not_exported_and_one_that_an_import_creates_is_said(
    file: Path, tmp_path: Path, database: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    file.touch()
    exported = tmp_path / "people.jsonl"
    address = database.database()
    for location in (str(file.with_name("missing.db")), str(file), address):
        done = gallery_command("export", exported, location)
        (line,) = done.output.strip().splitlines()
        assert (done.exit_code, "there is no gallery" in line) == (1, True)
        assert not exported.exists()
    assert not file.with_name("missing.db").exists()
    for location in (str(file.with_name("missing.db")), str(file), address):
        caplog.clear()
        done = gallery_command("import", EXPORTED, location)
        assert done.exit_code == 0, done.output
        assert any("created" in each for each in caplog.messages)


def test_a_file_that_others_can_read_becomes_private_and_that_is_logged(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(open_gallery(str(file), None).close())
    file.chmod(0o644)

    async def run() -> None:
        async with opened(str(file)) as gallery:
            await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
            assert modes == {"people.db": 0o600, "people.db-wal": 0o600, "people.db-shm": 0o600}

    caplog.clear()
    with caplog.at_level(logging.INFO):
        asyncio.run(run())
    assert any("0644" in each and str(file) in each for each in caplog.messages)


def test_a_file_whose_mode_cannot_be_changed_is_logged_and_served(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(open_gallery(str(file), None).close())
    file.chmod(0o644)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    asyncio.run(open_gallery(str(file), None).close())
    assert any("0644" in each and "Operation not permitted" in each for each in caplog.messages)


def test_an_export_that_others_can_read_is_mentioned_when_it_is_imported(file: Path, tmp_path: Path) -> None:
    exported = Path(shutil.copy(EXPORTED, tmp_path / "people.jsonl"))
    for mode, mentioned in ((0o644, True), (0o600, False)):
        exported.chmod(mode)
        done = gallery_command("import", exported, str(file))
        assert (done.exit_code, "chmod 600" in done.output) == (0, mentioned)
