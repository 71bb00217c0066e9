"""Compares two running servers: `python -m benchmarks.two_servers HOST:PORT HOST:PORT`.

Sends every picture of FACEGATE_MIRROR/images to face_analyze, with the liveness check and without, and every pair of
them to face_verify, every other one with the check. Counts the requests whose answers differ, PROCESSING_TIME_MS and
the digest in MODEL aside. Then sends the same verification to both in turns, and prints the
ratio of their throughputs: the second's over the first's. Exit status 1 where an answer differs.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tritonclient.grpc
import typer
from tritonclient.utils import InferenceServerException

from facegate.build.checks.pictures import SUFFIXES
from facegate_client import contract

Request = tuple[str, str, list[Path], bool]
"""A name, the model, the pictures and whether liveness is requested."""

CALLERS = 4


def requests(folder: Path) -> Iterator[Request]:
    """Yields every request that is compared."""
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    for path in pictures:
        for liveness in (False, True):
            yield f"{path.name}, liveness {liveness}", contract.ANALYZE, [path], liveness
    for number, pair in enumerate(combinations_with_replacement(pictures, 2)):
        yield f"{pair[0].name} and {pair[1].name}", contract.VERIFY, list(pair), number % 2 == 0


def answer(client: Any, model: str, pictures: list[Path], liveness: bool) -> dict[str, Any]:
    """Returns the outputs by name as lists, or the status and message of a refusal."""
    inputs = []
    for number, picture in enumerate(pictures, 1):
        name = contract.IMAGE if model == contract.ANALYZE else f"{contract.IMAGE}_{number}"
        tensor = tritonclient.grpc.InferInput(name, [1], "BYTES")
        tensor.set_data_from_numpy(np.array([picture.read_bytes()], dtype=object))
        inputs.append(tensor)
    try:
        result = client.infer(model, inputs, parameters={contract.ANTI_SPOOFING: liveness})
    except InferenceServerException as error:
        return {"status": error.status(), "message": error.message()}
    found = {each.name: result.as_numpy(each.name).tolist() for each in result.get_response().outputs}
    found.pop(contract.PROCESSING_TIME_MS, None)
    model_info = json.loads(found.pop(contract.MODEL)[0])
    return {**found, "model": {key: value for key, value in model_info.items() if key != "digest"}}


def throughput(client: Any, request: Request, seconds: float) -> float:
    """Returns answers a second to CALLERS callers."""
    until = time.perf_counter() + seconds

    def call() -> int:
        count = 0
        while time.perf_counter() < until:
            answer(client, *request[1:])
            count += 1
        return count

    with ThreadPoolExecutor(CALLERS) as callers:
        counts = [callers.submit(call) for _ in range(CALLERS)]
        total = sum(each.result() for each in counts)
    return total / (time.perf_counter() - until + seconds)


def main(
    first: Annotated[str, typer.Argument(help="host:port of a server's gRPC.")],
    second: Annotated[str, typer.Argument(help="The other's.")],
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each server.")] = 11,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of a turn.")] = 3.0,
) -> None:
    """Compare two servers' answers to all labelled pictures, and their throughput."""
    folder = Path(os.environ.get("FACEGATE_MIRROR", "")) / "images"
    if not folder.is_dir():
        sys.exit(f"{folder}: no labelled pictures; set FACEGATE_MIRROR to a directory with images/")
    clients = [tritonclient.grpc.InferenceServerClient(url) for url in (first, second)]
    count, different = 0, []
    last: Request | None = None
    for request in requests(folder):
        one, other = (answer(client, *request[1:]) for client in clients)
        count += 1
        if one != other:
            different.append(request[0])
        if request[1] == contract.VERIFY and request[3] and "status" not in one:
            last = request
    print(f"{count} requests, {len(different)} answers differ")
    print(*different[:20], sep="\n")
    assert last is not None
    ratios = []
    for number in range(-1, rounds):  # the first round warms up
        order = [0, 1] if number % 2 else [1, 0]
        found = {which: throughput(clients[which], last, seconds if number >= 0 else 1.0) for which in order}
        if number >= 0:
            ratios.append(found[1] / found[0])
    low, high = min(ratios), max(ratios)
    print(f"throughput, {last[0]}: second over first {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})")
    if different:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
