"""What does the gateway cost? `python -m benchmarks.gateway [--rounds 9] [--seconds 4]`.

The same pictures of 640x480, JPEG, with liveness, asked of Triton itself, of the gateway's FaceService and of its REST
interface, which both ask that Triton; analyze without embeddings, which REST's answer has not. And the same picture's
pixels, which REST does not take. Latency is one caller's,
who asks them in turn; throughput is that of CALLERS at a time, who ask one of them for some seconds, all in changing
order. Requests are made once and sent as bytes, and answers are not read on the way, so that what differs is
the server's side, but for JSON's base64, which is a third longer. Overheads are ratios and differences within a round,
of which there are several.

Prints a table and writes benchmarks/results/gateway.json.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import typer

from benchmarks import ROOT
from benchmarks.bench import load
from benchmarks.bench.machine import machine
from benchmarks.bench.pictures import Picture, picture
from benchmarks.bench.spread import spread
from facegate.cli.running import free_ports, running_server
from facegate_client.service import face_service_pb2 as pb

CALLERS = 4
ASKED_ALONE = 60
READY_SECONDS = 30.0
PIXELS = "analyze pixels"
WORKS = ("verify", "analyze", PIXELS)

Ask = Callable[[], bytes]
Figures = dict[str, dict[str, float]]


def main(rounds: int = 9, seconds: float = 4.0) -> None:
    """Measure, print and write."""
    rows = []
    with running_server() as (triton, _), _gateway(triton) as (gateway, grpc_address, http_address):
        for work in WORKS:
            made = {"Triton": partial(_triton, triton, work), "FaceService": partial(_face_service, grpc_address, work)}
            if work != PIXELS:
                made["REST"] = partial(_rest, http_address, work)
            asks = {way: [make() for _ in range(CALLERS)] for way, make in made.items()}
            figures = [_round(asks, gateway, number, seconds) for number in range(-1, rounds)][1:]  # the first warms up
            ways = _summary(figures)
            _print(work, ways)
            rows.append({"work": work, **ways})
    result = {"machine": machine(), "callers": CALLERS, "rounds": rounds, "seconds": seconds, "rows": rows}
    out = ROOT / "benchmarks" / "results" / "gateway.json"
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _round(asks: Mapping[str, list[Ask]], gateway: psutil.Process, number: int, seconds: float) -> Figures:
    order = random.Random(number).sample(list(asks), len(asks))  # noqa: S311 - repeatable, not secret
    latencies = _alone({way: asks[way][0] for way in order})
    figures = {}
    for way in order:
        before = _cpu_s(gateway)
        count, took_s = _together(asks[way], seconds)
        cpu_ms = 1000 * (_cpu_s(gateway) - before) / count
        figures[way] = {"p50_ms": latencies[way], "per_s": count / took_s, "gateway_cpu_ms": cpu_ms}
    return {way: figures[way] for way in asks}


def _cpu_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def _alone(asks: dict[str, Ask]) -> dict[str, float]:
    """p50 in milliseconds of one caller, who asks one after the other."""
    times: dict[str, list[float]] = {way: [] for way in asks}
    for _ in range(ASKED_ALONE):
        for way, ask in asks.items():
            began = time.perf_counter()
            ask()
            times[way].append(1000 * (time.perf_counter() - began))
    return {way: statistics.median(values) for way, values in times.items()}


def _together(asks: list[Ask], seconds: float) -> tuple[int, float]:
    """Answers, and the seconds that they took, of callers who each ask as soon as they are answered.

    Raises what a caller is refused with.
    """
    began = time.perf_counter()

    def run(ask: Ask) -> int:
        count = 0
        while time.perf_counter() < began + seconds:
            ask()
            count += 1
        return count

    with ThreadPoolExecutor(len(asks)) as callers:
        count = sum(callers.map(run, asks))
    return count, time.perf_counter() - began


def _picture(work: str) -> Picture:
    return picture("640x480", 1, encoded=work != PIXELS)


def _triton(address: str, work: str) -> Ask:
    image = _picture(work)
    if work == "verify":
        made = load.verify(image, image, liveness=True)
    else:
        made = load.analyze(image, liveness=True, embeddings=False)
    return _unary(address, load.METHOD, made.request)


def _face_service(address: str, work: str) -> Ask:
    shown = _picture(work)
    frame = pb.Frame(bgr=shown.data, height=shown.height, width=shown.width)
    image = pb.Image(encoded=shown.data) if shown.encoded else pb.Image(frame=frame)
    if work == "verify":
        verify = pb.VerifyRequest(image_1=image, image_2=image, anti_spoofing=True)
        return _unary(address, "/facegate.v1.FaceService/Verify", verify.SerializeToString())
    analyze = pb.AnalyzeRequest(image=image, anti_spoofing=True)
    return _unary(address, "/facegate.v1.FaceService/Analyze", analyze.SerializeToString())


def _unary(address: str, method: str, request: bytes) -> Ask:
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]  # each caller its own connection
    call = grpc.insecure_channel(address, options).unary_unary(method)
    return lambda: bytes(call(request, timeout=60))


def _rest(address: str, work: str) -> Ask:
    image = base64.b64encode(_picture(work).data).decode()
    images = {"img1": image, "img2": image} if work == "verify" else {"img": image}
    body = json.dumps({**images, "anti_spoofing": True}).encode()
    connection = http.client.HTTPConnection(address, timeout=60)

    def answered() -> http.client.HTTPResponse:
        connection.request("POST", f"/v1/face/{work}", body, {"Content-Type": "application/json"})
        return connection.getresponse()

    def ask() -> bytes:
        try:
            answer = answered()
        except ConnectionError:  # it was idle for long, and is made anew
            connection.close()
            answer = answered()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"REST answered {answer.status}: {told[:200]!r}")
        return told

    return ask


def _summary(figures: list[Figures]) -> dict[str, Any]:
    ways: dict[str, Any] = {}
    for way in figures[0]:
        told = {name: [each[way][name] for each in figures] for name in ("p50_ms", "per_s", "gateway_cpu_ms")}
        if way != "Triton":
            told["added_ms"] = [each[way]["p50_ms"] - each["Triton"]["p50_ms"] for each in figures]
            told["lost"] = [1 - each[way]["per_s"] / each["Triton"]["per_s"] for each in figures]
        ways[way] = {name: _rounded(values) for name, values in told.items()}
    return ways


def _rounded(values: list[float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in dataclasses.asdict(spread(values)).items()}


def _print(work: str, ways: dict[str, Any]) -> None:
    for way, figures in ways.items():
        line = f"{work:14} {way:12} p50 {_text(figures['p50_ms'])} ms   {_text(figures['per_s'])} a second"
        if way != "Triton":
            line += f"   +{_text(figures['added_ms'])} ms, -{100 * figures['lost']['median']:.1f} % ("
            line += f"{100 * figures['lost']['low']:.1f}-{100 * figures['lost']['high']:.1f}), "
            line += f"CPU {_text(figures['gateway_cpu_ms'])} ms"
        print(line, flush=True)


def _text(figure: dict[str, float]) -> str:
    return f"{figure['median']:.2f} ({figure['low']:.2f}-{figure['high']:.2f})"


@contextlib.contextmanager
def _gateway(triton: str) -> Iterator[tuple[psutil.Process, str, str]]:
    grpc_port, http_port, probe_port = free_ports(3)
    ports = ["--grpc-port", str(grpc_port), "--http-port", str(http_port), "--probe-port", str(probe_port)]
    with tempfile.TemporaryDirectory() as scratch:
        gallery = ["--gallery", str(Path(scratch) / "people.sqlite3")]
        command = [sys.executable, "-m", "facegate", "gateway", "--url", triton, *ports, *gallery]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            _wait(process, f"http://127.0.0.1:{http_port}/readyz")
            yield psutil.Process(process.pid), f"127.0.0.1:{grpc_port}", f"127.0.0.1:{http_port}"
        finally:
            process.terminate()
            process.wait(60)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the gateway was not ready within {READY_SECONDS:g} s")


if __name__ == "__main__":
    typer.run(main)
