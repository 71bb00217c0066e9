"""The search in memory: exact to the last bit of float64, the same every time, and nothing left of who is removed."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from facegate.gateway.gallery.matrix import BLOCK, Matrix
from support.galleries import embeddings


def test_near_ties_that_float32_would_order_wrongly_are_ordered_rightly() -> None:
    """20,000 embeddings within a few roundings of one distance, over several blocks."""
    base = embeddings(1, 512)[0].astype(np.float64)
    query = embeddings(1, 512, seed=1)[0]
    noise = np.random.default_rng(2).standard_normal((20_000, 512)) * 1e-7
    vectors = (base + noise).astype(np.float32)
    matrix = Matrix(512)
    matrix.add(np.arange(20_000), vectors)
    exact = 1 - vectors.astype(np.float64) @ query.astype(np.float64)
    found = matrix.nearest(query, 50)
    assert len(vectors) > 2 * BLOCK
    assert np.argsort(vectors @ query)[::-1][:50].tolist() != [person for person, _ in found]  # the test's own point
    assert [distance for _, distance in found] == pytest.approx(np.sort(exact)[:50], abs=1e-14)
    assert [exact[person] for person, _ in found] == pytest.approx(np.sort(exact)[:50], abs=1e-14)


def test_of_equally_near_people_the_lower_number_comes_first() -> None:
    vectors = np.repeat(embeddings(3, 100), 400, axis=0)
    people = np.random.default_rng(0).permutation(1200)
    matrix = Matrix(100)
    matrix.add(people, vectors)
    found = matrix.nearest(embeddings(1, 100)[0], 401)
    assert [person for person, _ in found[:400]] == sorted(people[:400])
    assert len({distance for _, distance in found}) == 2


@pytest.mark.parametrize("seed", range(5))
def test_what_is_removed_is_overwritten_and_the_rest_is_found(seed: int) -> None:
    choose = np.random.default_rng(seed)
    vectors = embeddings(3000, 8, seed)
    people = choose.integers(0, 300, 3000)
    matrix = Matrix(8)
    for start in range(0, 3000, 700):
        matrix.add(people[start : start + 700], vectors[start : start + 700])
    gone = choose.choice(300, 200, replace=False)
    for person in gone:
        matrix.remove(person)
    here = ~np.isin(people, gone)
    best = {person: (vectors[people == person].astype(float) @ vectors[0]).max() for person in np.unique(people[here])}
    found = matrix.nearest(vectors[0], 1000)
    assert [person for person, _ in found] == sorted(best, key=lambda person: -best[person])
    memory = b"".join(block.tobytes() for block in matrix._blocks)
    assert not any(vector.tobytes() in memory for vector in vectors[~here])
    assert all(vector.tobytes() in memory for vector in vectors[here][:50])
    for person in np.unique(people):
        matrix.remove(person)
    assert matrix.nearest(vectors[0], 5) == []


@pytest.mark.parametrize("value", [1e30, -1e30, np.inf, np.nan, 1.1], ids=str)
def test_a_vector_that_became_damaged_in_memory_is_an_error_and_never_a_match(value: float) -> None:
    vectors = embeddings(100, 64)
    vectors[70] = 0
    vectors[70, 3] = value
    matrix = Matrix(64)
    matrix.add(np.arange(100), vectors)
    with pytest.raises(RuntimeError, match="cosine"), np.errstate(all="ignore"):
        matrix.nearest(np.eye(64, dtype=np.float32)[3], 1)


def test_searches_and_changes_at_the_same_time_do_not_mix() -> None:
    """Somebody who stays is always found, at the right distance, while others come and go around them."""
    vectors = embeddings(2_000, 32)
    matrix = Matrix(32)
    matrix.add(np.arange(1_000), vectors[:1_000])
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for person in range(1_000, 1_100):
                matrix.add(np.full(5, person), vectors[person : person + 5])
            for person in range(1_000, 1_100):
                matrix.remove(person)

    other = threading.Thread(target=churn)
    other.start()
    try:
        for person in range(300):
            (found,) = matrix.nearest(vectors[person], 1)
            assert found == (person, pytest.approx(0, abs=1e-6))
    finally:
        stop.set()
        other.join()
