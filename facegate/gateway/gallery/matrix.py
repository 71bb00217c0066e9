"""Exact nearest neighbours among the embeddings of one recognizer, in memory."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from facegate.gateway.gallery import Embeddings
from facegate_ensemble.pipeline.verification import check_cosines, cosine_distances

BLOCK = 8192
"""Rows that memory is taken for at a time: growing copies no embedding, and leaves none behind in freed memory."""

_ROUNDING = 2.0**-22
"""For each value of an embedding: float32 dot products of vectors of length one that are ordered wrongly differ by less
than D * 2**-23 (Higham, Accuracy and Stability of Numerical Algorithms, 3.1); twice that, for lengths of almost one."""


class Matrix:
    """Embeddings of length one, each with the number of its person. Safe to use from several threads."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._blocks: list[NDArray[np.float32]] = []
        self._people = np.empty(0, np.int64)
        self._count = 0
        self._lock = threading.Lock()

    def add(self, people: NDArray[np.int64], embeddings: Embeddings) -> None:
        """More embeddings, [N, dim], and whose each is, [N]."""
        with self._lock:
            self._reserve(self._count + len(embeddings))
            done = 0
            while done < len(embeddings):
                block, row = divmod(self._count, BLOCK)
                more = min(BLOCK - row, len(embeddings) - done)
                self._blocks[block][row : row + more] = embeddings[done : done + more]
                self._people[self._count : self._count + more] = people[done : done + more]
                self._count += more
                done += more

    def remove(self, person: int) -> None:
        """Overwrite every embedding of a person."""
        with self._lock:
            for row in np.flatnonzero(self._people[: self._count] == person)[::-1]:
                last = self._count - 1
                self._at(row)[:] = self._at(last)
                self._people[row] = self._people[last]
                self._at(last)[:] = 0.0
                self._count = last

    def nearest(self, embedding: NDArray[np.float32], count: int) -> list[tuple[int, float]]:
        """The `count` nearest people and the distance, 1 - cosine, of the nearest embedding of each.

        The nearest first, of equally near ones the lower number. Exact: near ties of float32 are settled in float64.
        Raises RuntimeError where any cosine is out of range, which no embedding of length one has.
        """
        with self._lock:
            if not self._count:
                return []
            scores = self._scores(embedding)
            check_cosines(scores)
            rows = self._candidates(scores, count)
            people = self._people[rows]
            vectors = np.stack([self._at(row) for row in rows])
        # A sum of products adds every row up in the same order, which a matrix product does not: equal rows stay equal
        exact = (vectors.astype(np.float64) * embedding.astype(np.float64)).sum(axis=1)
        order = np.lexsort((people, -exact))
        _, first = np.unique(people[order], return_index=True)
        best = order[np.sort(first)[:count]]
        distances = cosine_distances(exact[best])
        return [(int(people[at]), float(distance)) for at, distance in zip(best, distances, strict=True)]

    def _at(self, row: int) -> NDArray[np.float32]:
        at: NDArray[np.float32] = self._blocks[row // BLOCK][row % BLOCK]
        return at

    def _reserve(self, count: int) -> None:
        while len(self._blocks) * BLOCK < count:
            self._blocks.append(np.zeros((BLOCK, self.dim), np.float32))
        if len(self._people) < count:
            self._people = np.resize(self._people, max(count, len(self._people) * 3 // 2, BLOCK))

    def _scores(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.empty(self._count, np.float32)
        for number, block in enumerate(self._blocks):
            start = number * BLOCK
            if start >= self._count:
                break
            used = min(BLOCK, self._count - start)
            np.matmul(block[:used], embedding, out=scores[start : start + used])
        return scores

    def _candidates(self, scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Rows among which is, rounding or not, the best embedding of each of the `count` nearest people."""
        slack = self.dim * _ROUNDING
        rows = np.flatnonzero(scores >= self._floor(scores, count) - slack)
        numbers, which = np.unique(self._people[rows], return_inverse=True)
        best = np.full(len(numbers), -np.inf, np.float32)
        np.maximum.at(best, which, scores[rows])
        return rows[scores[rows] >= best[which] - slack]

    def _floor(self, scores: NDArray[np.float32], count: int) -> float:
        """The score of the best embedding of the person who is the `count`th, or of the last one there is."""
        looked_at = min(4 * count, self._count)
        while True:
            rows = np.argpartition(scores, self._count - looked_at)[self._count - looked_at :]
            rows = rows[np.argsort(-scores[rows])]
            first = np.sort(np.unique(self._people[rows], return_index=True)[1])
            if len(first) >= count or looked_at == self._count:
                return float(scores[rows[first[:count][-1]]])
            looked_at = min(4 * looked_at, self._count)
