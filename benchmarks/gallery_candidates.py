"""What the gallery could have searched with: `python benchmarks/gallery_candidates.py`, in an environment of its own.

    python -m venv /tmp/candidates && /tmp/candidates/bin/pip install apsw numpy sqlite-vec usearch

100,000 embeddings of 128 and of 512 values, random and of length one, the five nearest of each of 41 queries, exactly.
And: is a vector in sqlite-vec's file after its row was deleted, with secure_delete, and after VACUUM? By APSW, for the
sqlite3 of many a Python, this project's too, was built without extensions. Prints JSON.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COUNT = 5
PEOPLE = 100_000


def main() -> None:
    """Measure and print."""
    for dim in (128, 512):
        vectors = np.random.default_rng(dim).standard_normal((PEOPLE, dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        print(json.dumps({"with": f"numpy {np.__version__}", "dim": dim, **_figures(vectors, _numpy(vectors))}))
        print(json.dumps({"dim": dim, **_usearch(vectors)}))
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps({"dim": dim, **_sqlite_vec(vectors, Path(directory) / "vectors.db")}), flush=True)


def _figures(vectors: Any, search: Callable[[Any], list[int]]) -> dict[str, Any]:
    milliseconds, exact = [], 0
    for query in vectors[:41]:
        started = time.perf_counter()
        found = search(query)
        milliseconds.append((time.perf_counter() - started) * 1e3)
        exact += found == np.argsort(-(vectors.astype(np.float64) @ query.astype(np.float64)))[:COUNT].tolist()
    p50, p95 = statistics.median(milliseconds), np.percentile(milliseconds, 95)
    return {"p50_ms": round(p50, 2), "p95_ms": round(float(p95), 2), "exact": f"{exact} of 41"}


def _numpy(vectors: Any) -> Callable[[Any], list[int]]:
    def search(query: Any) -> list[int]:
        scores = vectors @ query
        nearest = np.argpartition(scores, -COUNT)[-COUNT:]
        return [int(row) for row in nearest[np.argsort(-scores[nearest])]]

    return search


def _usearch(vectors: Any) -> dict[str, Any]:
    import usearch
    from usearch.index import MetricKind, search

    found = _figures(vectors, lambda query: search(vectors, query, COUNT, MetricKind.IP, exact=True).keys.tolist())
    return {"with": f"usearch {usearch.__version__}, exact", **found}


def _sqlite_vec(vectors: Any, path: Path) -> dict[str, Any]:
    import apsw
    import sqlite_vec

    database = apsw.Connection(str(path))
    database.enable_load_extension(True)
    database.load_extension(sqlite_vec.loadable_path())
    database.execute("PRAGMA secure_delete = ON")
    database.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{vectors.shape[1]}] distance_metric=cosine)")
    database.execute("BEGIN")
    database.executemany(
        "INSERT INTO v (rowid, e) VALUES (?, ?)", ((row, bytes(vector)) for row, vector in enumerate(vectors))
    )
    database.execute("COMMIT")
    found = _figures(
        vectors,
        lambda query: [
            row
            for row, _ in database.execute("SELECT rowid, distance FROM v WHERE e MATCH ? AND k = 5", [bytes(query)])
        ],
    )
    database.execute("DELETE FROM v WHERE rowid = 6")
    deleted = bytes(vectors[6]) in path.read_bytes()
    database.execute("VACUUM")
    vacuumed = bytes(vectors[6]) in path.read_bytes()
    database.close()
    return {
        "with": f"sqlite-vec {sqlite_vec.__version__}",
        **found,
        "in the file after DELETE": deleted,
        "in the file after VACUUM": vacuumed,
    }


if __name__ == "__main__":
    main()
