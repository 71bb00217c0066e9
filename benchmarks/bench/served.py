"""A running server, and what it has spent between two moments."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import tritonclient.grpc as triton

from facegate.cli.running import running_server
from facegate_ensemble.stage_timers import STAGES
from facegate_ensemble.triton.metrics import EVERY_SECONDS

_STAGE = re.compile(
    r'^facegate_stage_seconds_sum\{(?=[^}]*model="(\w+)")[^}]*stage="(\w+)"[^}]*\} (\S+)$', re.MULTILINE
)
_ANSWERED = re.compile(r'^facegate_requests_total\{(?=[^}]*model="(\w+)")[^}]*code="OK"[^}]*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Spent:
    """Between two moments: CPU seconds of all processes, the right answers of one model, and means for each of them in
    ms. What refused requests took is in the sums, and they are not among those that these are divided by.

    `queue_ms` and `compute_ms` are Triton's own statistics. To Triton a request is computed once the Python model has
    taken it in: the pipeline goes on by itself, and how long that takes, its own wait for a permit included, is in
    `stages_ms`. `server_peak_mb` is the most memory that each process ever had until then, added up: pages that
    processes share count in each.
    """

    cpu_seconds: float
    requests: int
    queue_ms: float
    compute_ms: float
    stages_ms: dict[str, float]
    server_peak_mb: float


@dataclass(frozen=True, slots=True)
class Moment:
    """What has been spent since the server began: CPU seconds of all its processes; by model Triton's successful
    requests, and seconds of queue and compute of them; right answers by model; seconds by model and stage."""

    cpu_seconds: float
    statistics: dict[str, tuple[int, float, float]]
    answered: dict[str, float]
    stages: dict[tuple[str, str], float]
    server_peak_mb: float

    def until(self, later: Moment, model: str) -> Spent:
        """What was spent from now until the next moment."""
        requests, queue, compute = _minus(later.statistics[model], self.statistics[model])
        answered = later.answered[model] - self.answered[model]
        by_stage = {stage: later.stages[model, stage] - self.stages[model, stage] for stage in STAGES}
        return Spent(
            cpu_seconds=later.cpu_seconds - self.cpu_seconds,
            requests=int(answered),
            queue_ms=queue / max(1, requests) * 1e3,
            compute_ms=compute / max(1, requests) * 1e3,
            stages_ms={stage: seconds / max(1, answered) * 1e3 for stage, seconds in by_stage.items()},
            server_peak_mb=later.server_peak_mb,
        )


class Served:
    """A server that nobody else asks."""

    def __init__(self, address: str, watcher: psutil.Process, metrics_port: int) -> None:
        self.address = address
        self._watcher = watcher
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"

    def processes(self) -> list[psutil.Process]:
        """The watcher, Triton and the processes behind the models."""
        return [self._watcher, *self._watcher.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """CPU seconds, user and system, of all its processes until now."""
        times = [process.cpu_times() for process in self.processes()]
        return float(sum(each.user + each.system for each in times))

    def moment(self) -> Moment:
        """Now, while nothing is under way. Waits until the metrics of what was answered are handed on."""
        cpu_seconds, peak_kb = self.cpu_seconds(), sum(_peak_kb(process.pid) for process in self.processes())
        time.sleep(EVERY_SECONDS * 1.2)
        text = httpx.get(self._metrics).text
        return Moment(
            cpu_seconds,
            self._statistics(),
            answered={model: float(value) for model, value in _ANSWERED.findall(text)},
            stages={(model, stage): float(value) for model, stage, value in _STAGE.findall(text)},
            server_peak_mb=peak_kb * 1024 / 1e6,
        )

    def _statistics(self) -> dict[str, tuple[int, float, float]]:
        with triton.InferenceServerClient(self.address) as client:
            told = client.get_inference_statistics()
        return {
            each.name: (
                each.inference_stats.success.count,
                each.inference_stats.queue.ns / 1e9,
                (
                    each.inference_stats.compute_input.ns
                    + each.inference_stats.compute_infer.ns
                    + each.inference_stats.compute_output.ns
                )
                / 1e9,
            )
            for each in told.model_stats
        }


@contextmanager
def served(*options: str) -> Iterator[Served]:
    """A `facegate serve` with these options, as long as something needs it."""
    with running_server(*options) as (address, process):
        arguments = [str(each) for each in process.args]  # type: ignore[union-attr]
        metrics_port = int(arguments[arguments.index("--metrics-port") + 1])
        yield Served(address, psutil.Process(process.pid), metrics_port)


def _minus(now: tuple[float, ...], before: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(one - other for one, other in zip(now, before, strict=True))


def _peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) if found else 0
