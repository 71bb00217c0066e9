"""The nets as the server's models, each asked by itself: every answer is the right input's, and within its limit.

What runs them there need not be what runs them in this process: NVIDIA's own Triton has backends of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tritonclient.grpc.aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from benchmarks.gpu.asked import Asked
from benchmarks.gpu.result import in_a_line
from benchmarks.gpu.timing import together
from facegate.build.checks.gate import LIMITS
from facegate.build.target import Precision
from facegate_ensemble.runtime.runner import Arrays

CALLERS = 8
BATCHES = (1, 2, 3, 4, 7, 8)
"""And the full batch: powers of two are launched as CUDA graphs, the others not."""

MOST_ROUNDS = 20
"""Times that all callers send all batches; at least once."""

ANSWER_SECONDS = 60.0

TOLD = 5
"""Wrong answers that are described, of each net."""


class Served(Protocol):
    """A server's nets, to be asked one by one."""

    async def full_batch(self, net: str) -> int:
        """The most rows that it takes at once."""
        ...

    async def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        """Every output by name for UINT8 [B, H, W, 3]. Raises InferenceServerException."""
        ...


class Triton:
    """Those of the server at `address`, by the plain gRPC client."""

    def __init__(self, address: str) -> None:
        self._client = tritonclient.grpc.aio.InferenceServerClient(address)
        self._inputs: dict[str, str] = {}

    async def __aenter__(self) -> Triton:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._client.close()

    async def backend(self, net: str) -> str:
        """The name of the backend that runs it, or the platform that Triton takes a backend for."""
        config = (await self._client.get_model_config(net)).config
        return str(config.backend or config.platform)

    async def version(self) -> str:
        """The server's."""
        return str((await self._client.get_server_metadata()).version)

    async def full_batch(self, net: str) -> int:
        return int((await self._client.get_model_config(net)).config.max_batch_size)

    async def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        if net not in self._inputs:
            self._inputs[net] = (await self._client.get_model_config(net)).config.input[0].name
        tensor = tritonclient.grpc.aio.InferInput(self._inputs[net], list(batch.shape), "UINT8")
        tensor.set_data_from_numpy(batch)
        answer = await self._client.infer(net, [tensor], client_timeout=ANSWER_SECONDS)
        return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came for `rows`, the numbers of a batch's inputs: outputs by name, or why none came."""

    rows: NDArray[np.intp]
    answers: Arrays | str


async def measure(
    served: Served, asked: Mapping[str, Asked], precision: Precision, seconds: float, found: dict[str, Any]
) -> None:
    """Add to `found`, under "nets" by net, what was asked and what of the answers is wrong; last, under "right",
    whether nothing is. A net is asked at least once in every way, then until its share of `seconds` is over.

    One caller sends the inputs one by one, then a batch of each size; then CALLERS send batches of all sizes.
    """
    until = time.monotonic() + seconds
    for number, (net, each) in enumerate(asked.items()):
        share = (until - time.monotonic()) / (len(asked) - number)
        found.setdefault("nets", {})[net] = await _held(served, net, each, precision, share)
    found["right"] = not any(each["wrong"] for each in found["nets"].values())


async def _held(served: Served, net: str, asked: Asked, precision: Precision, seconds: float) -> dict[str, Any]:
    began, random = time.monotonic(), np.random.default_rng(0)
    sizes = [*BATCHES, await served.full_batch(net)]
    sizes = [size for size in sorted(set(sizes)) if size <= sizes[-1]]
    record = _Record(asked, LIMITS[asked.unit])
    singles = [np.array([row]) for row in range(len(asked.inputs))]
    alone = [*singles, *(_rows(asked, size, random) for size in sizes)]
    record.judge(await _sent(served, net, asked, alone), "one after another")
    for number in range(MOST_ROUNDS):
        if number and time.monotonic() - began > seconds:
            break
        # Not all callers send the same size at the same time.
        each = [[_rows(asked, size, random) for size in np.roll(sizes, caller)] for caller in range(CALLERS)]
        replies = await together(*(_sent(served, net, asked, batches) for batches in each))
        for caller in replies:
            record.judge(caller, f"{CALLERS} callers")
    return record.told(sizes)


def _rows(asked: Asked, size: int, random: np.random.Generator) -> NDArray[np.intp]:
    return np.resize(random.permutation(len(asked.inputs)), size)


async def _sent(served: Served, net: str, asked: Asked, batches: Sequence[NDArray[np.intp]]) -> list[Reply]:
    """One caller's batches, one after another. What came is judged later: meanwhile nothing would be asked."""
    replies = []
    for rows in batches:
        try:
            replies.append(Reply(rows, await served.infer(net, asked.inputs[rows])))
        except InferenceServerException as refusal:
            replies.append(Reply(rows, f"no answer: {in_a_line(refusal)}"))
    return replies


class _Record:
    """What was found of one net."""

    def __init__(self, asked: Asked, limit: float) -> None:
        self._asked, self._limit = asked, limit
        self._requests = self._answers = self._anothers = self._beyond = self._refused = 0
        self._worst = 0.0
        self._told: list[str] = []

    def judge(self, replies: Sequence[Reply], how: str) -> None:
        """Hold every row that came against what is expected of its input."""
        for reply in replies:
            self._requests += 1
            batch = f"{how}, batch of {len(reply.rows)}"
            if isinstance(trouble := _shaped(reply, self._asked), str):
                self._refused += 1
                self._tell(f"{batch}: {trouble}")
                continue
            for place, (row, answer) in enumerate(zip(reply.rows, trouble, strict=True)):
                self._answers += 1
                self._hold(int(row), answer, f"{batch}, row {place + 1}")

    def _hold(self, row: int, answer: Arrays, where: str) -> None:
        asked = self._asked
        difference = asked.difference(asked.expected[row], answer)
        self._worst = float(np.max([self._worst, difference]))  # unlike max(), NaN wins
        if difference <= self._limit:
            return
        to_all = [asked.difference(expected, answer) for expected in asked.expected]
        nearest = int(np.argmin(np.nan_to_num(to_all, nan=np.inf)))
        if to_all[nearest] <= self._limit:
            self._anothers += 1
            self._tell(f"{where}: the answer to input {nearest + 1}, not to input {row + 1}")
        else:
            self._beyond += 1
            self._tell(f"{where}: {asked.unit} differs by {difference:.2g}, allowed {self._limit:g}")

    def _tell(self, what: str) -> None:
        if len(self._told) < TOLD:
            self._told.append(what)

    def told(self, sizes: Sequence[int]) -> dict[str, Any]:
        """JSON-ready."""
        alike = sum(not difference > 2 * self._limit for difference in self._asked.to_next)
        return {
            "inputs": len(self._asked.inputs),
            "neighbours_not_told_apart": alike,
            "callers": CALLERS,
            "batches": [int(size) for size in sizes],
            "requests": self._requests,
            "answers": self._answers,
            "unit": self._asked.unit,
            "largest_difference": float(f"{self._worst:.3g}") if np.isfinite(self._worst) else None,
            "limit": self._limit,
            "anothers": self._anothers,
            "beyond_limit": self._beyond,
            "not_answered": self._refused,
            "wrong": self._anothers + self._beyond + self._refused,
            "told": self._told,
        }


def _shaped(reply: Reply, asked: Asked) -> list[Arrays] | str:
    """The answers row by row, or what is wrong with them as a whole."""
    if isinstance(reply.answers, str):
        return reply.answers
    for name, expected in asked.expected[0].items():
        values, shape = reply.answers[name], (len(reply.rows), *expected.shape)
        if values is None or values.shape != shape or values.dtype != expected.dtype:
            came = "nothing" if values is None else f"{values.dtype} {list(values.shape)}"
            return f"{name} is {came}, not {expected.dtype} {list(shape)}"
    return [{name: values[row] for name, values in reply.answers.items()} for row in range(len(reply.rows))]


def held(
    address: str, asked: Mapping[str, Asked], precision: Precision, native: bool, seconds: float, found: dict[str, Any]
) -> None:
    """Ask the nets of the server at `address`, whose backends are NVIDIA's own where `native`; see `measure`."""

    async def run() -> None:
        async with Triton(address) as served:
            backends = sorted({await served.backend(net) for net in asked})
            found.update(backend=", ".join(backends), native=native, triton=await served.version())
            found["precision"] = precision.value
            await measure(served, asked, precision, seconds, found)

    asyncio.run(run())
