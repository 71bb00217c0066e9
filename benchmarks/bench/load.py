"""Sends one request again and again, from a process of its own, and says how long the answers took.

The request is serialised once and sent as bytes; answers are kept as bytes and read once the measured time is over. One
answered request of 140 kB costs this process 0.9 ms of a core at forty a second, 0.4 ms at three hundred and 0.13 ms at
four thousand, by gRPC's futures, whose callbacks send the next one; threads and grpc.aio cost as much within what
repeats differ by. `Result.cpu_ms` says what it was.

In a closed loop each caller sends its next request as soon as it has its answer, and after BACK_OFF_SECONDS where that
is an error. It goes on until every request of the measured time is answered, so that none finds an emptying server. In
an open loop requests are sent when they are due, whatever became of those before, and an answer's time runs from the
moment its request was due, so that a server that stands still pays for every request that it kept waiting. Requests
that are out at the end are waited for, and counted.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import grpc
import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2
from tritonclient.utils import serialize_byte_tensor

from benchmarks import ROOT
from benchmarks.bench.pictures import Picture
from facegate_client import contract
from facegate_client.answers import read_faces, read_verification
from facegate_client.errors import ServerFault
from facegate_client.requests import analysis, verification
from facegate_client.transport.base import Answer, Call, Tensor, read_outputs
from facegate_client.transport.grpc import CHANNEL

METHOD = "/inference.GRPCInferenceService/ModelInfer"
TIMEOUT_SECONDS = 60.0
BACK_OFF_SECONDS = 0.01
WRONG = "WRONG_ANSWER"


@dataclass(frozen=True, slots=True)
class Work:
    """A request, serialised, and what a right answer to it has."""

    model: str
    request: bytes
    faces: int
    liveness: bool


@dataclass(frozen=True, slots=True)
class Job:
    """What the process is told: so many `callers` of a closed loop, or the seconds when requests of an open loop are
    `due`. The first `warm_up` seconds count for nothing, the `seconds` after them are measured."""

    address: str
    model: str
    faces: int
    liveness: bool
    warm_up: float
    seconds: float
    callers: int = 0
    due: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """Of the requests that were sent, or due, in the measured time: right answers, errors by their code's name, and the
    right answers' `times_ms` (their mean and percentiles are None where there is none). `throughput` is right answers a
    second in that time: of a closed loop, which is the same at any time, each counted by the part of its own time that
    lies in it; of an open loop, whose queue may grow, those that came in it. `late_ms`: how long after they were due
    99 % of requests were on their way, the generator's own fault. `cpu_ms`: of the generator, for each of all `sent`
    requests, those outside the measured time too."""

    answered: int
    errors: dict[str, int]
    throughput: float
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    times_ms: Sequence[float]
    late_ms: float
    cpu_ms: float
    sent: int


def analyze(image: Picture, *, liveness: bool, embeddings: bool = True) -> Work:
    """face_analyze of a picture."""
    given = _given(image)
    asked = analysis(given, anti_spoofing=liveness, embeddings=embeddings, min_score=None, max_faces=None, faces=None)
    return Work(asked.call.model, _serialised(asked.call), image.faces, liveness)


def verify(image_1: Picture, image_2: Picture, *, liveness: bool) -> Work:
    """face_verify of two pictures."""
    asked = verification(_given(image_1), _given(image_2), threshold=None, anti_spoofing=liveness)
    return Work(asked.call.model, _serialised(asked.call), 1, liveness)


def closed(address: str, work: Work, callers: int, *, seconds: float, warm_up: float) -> Result:
    """Each of `callers` asks as soon as it has its answer."""
    return _run(work, Job(address, work.model, work.faces, work.liveness, warm_up, seconds, callers=callers))


def opened(address: str, work: Work, due: Sequence[float], *, seconds: float, warm_up: float) -> Result:
    """Requests are sent when they are due, in seconds from the start, of which `warm_up` count for nothing."""
    return _run(work, Job(address, work.model, work.faces, work.liveness, warm_up, seconds, due=due))


def _run(work: Work, job: Job) -> Result:
    told = json.dumps(asdict(job)).encode() + b"\n" + work.request
    command = [sys.executable, "-m", "benchmarks.bench.load"]
    limit = job.warm_up + job.seconds + 2 * TIMEOUT_SECONDS
    ended = subprocess.run(command, input=told, stdout=subprocess.PIPE, cwd=ROOT, timeout=limit, check=False)
    if ended.returncode:
        raise RuntimeError("the load generator failed; its own message is above")
    return Result(**json.loads(ended.stdout))


def main() -> None:
    """A job as a line of JSON on stdin, then the request's bytes; a result as JSON on stdout."""
    line, request = sys.stdin.buffer.readline(), sys.stdin.buffer.read()
    job = Job(**json.loads(line))
    with grpc.insecure_channel(job.address, [*CHANNEL, ("grpc.enable_http_proxy", 0)]) as channel:
        grpc.channel_ready_future(channel).result(timeout=TIMEOUT_SECONDS)
        load = _Load(channel, request, job)
        gc.disable()  # its pauses would be the server's
        begin = time.process_time()
        load.run()
        spent = time.process_time() - begin
    json.dump(asdict(_result(job, load.sent, spent)), sys.stdout)


@dataclass(slots=True)
class _Sent:
    """One request, in seconds from the start; `future` has the answer's bytes or the error."""

    due: float
    sent: float
    future: grpc.Future
    done: float = 0.0


class _Load:
    def __init__(self, channel: grpc.Channel, request: bytes, job: Job) -> None:
        self._call = channel.unary_unary(METHOD)
        self._request = request
        self._job = job
        self._end = job.warm_up + job.seconds
        self._over = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._awaited = 0  # requests of before the end that are under way
        self.sent: list[_Sent] = []

    def run(self) -> None:
        """Send everything, and wait for every answer."""
        self._start = time.perf_counter()
        for _ in range(self._job.callers):
            self._send(0.0)
        for due in self._job.due:
            time.sleep(max(0.0, due - self._now()))
            self._send(due)
        for _ in range(self._job.callers or len(self._job.due)):
            if not self._over.acquire(timeout=self._end + 2 * TIMEOUT_SECONDS):
                raise RuntimeError("requests were lost: gRPC neither answered nor gave them up")

    def _now(self) -> float:
        return time.perf_counter() - self._start

    def _send(self, due: float) -> None:
        now = self._now()
        with self._lock:
            self._awaited += due < self._end
        one = _Sent(due, now, self._call.future(self._request, timeout=TIMEOUT_SECONDS))
        self.sent.append(one)
        one.future.add_done_callback(lambda _: self._done(one))

    def _done(self, one: _Sent) -> None:
        one.done = self._now()
        with self._lock:
            self._awaited -= one.due < self._end
        if not self._job.callers:
            self._over.release()
        elif one.future.exception() is None:
            self._again()
        else:
            threading.Timer(BACK_OFF_SECONDS, self._again).start()

    def _again(self) -> None:
        now = self._now()
        if now < self._end or self._awaited:
            self._send(now)
        else:
            self._over.release()


def _result(job: Job, sent: list[_Sent], cpu_seconds: float) -> Result:
    end = job.warm_up + job.seconds
    errors: Counter[str] = Counter()
    times, in_time = [], 0.0
    for one in sent:
        fault = _fault(job, one.future)
        if not fault and job.callers:
            in_time += max(0.0, min(one.done, end) - max(one.due, job.warm_up)) / (one.done - one.due)
        elif not fault:
            in_time += job.warm_up <= one.done < end
        if job.warm_up <= one.due < end:
            if fault:
                errors[fault] += 1
            else:
                times.append((one.done - one.due) * 1e3)
    at = [float(np.percentile(times, each)) if times else None for each in (50, 90, 95, 99)]
    return Result(
        answered=len(times),
        errors=dict(errors),
        throughput=in_time / job.seconds,
        mean_ms=float(np.mean(times)) if times else None,
        p50_ms=at[0],
        p90_ms=at[1],
        p95_ms=at[2],
        p99_ms=at[3],
        times_ms=times,
        late_ms=float(np.percentile([one.sent - one.due for one in sent], 99)) * 1e3 if sent else 0.0,
        cpu_ms=cpu_seconds * 1e3 / max(1, len(sent)),
        sent=len(sent),
    )


def _fault(job: Job, future: grpc.Future) -> str | None:
    """The name of what is wrong with an answer, None where nothing is."""
    error = future.exception()
    if error is not None:
        said = str(future.details()).partition(":")[0]
        return said if said in contract.Code.__members__ else str(future.code().name)
    result = triton.InferResult(service_pb2.ModelInferResponse.FromString(future.result()))
    try:
        answer = Answer(read_outputs([output.name for output in result.get_response().outputs], result))
        return None if _right(job, answer) else WRONG
    except ServerFault:
        return WRONG


def _right(job: Job, answer: Answer) -> bool:
    """The same live face twice is verified and real. A face that is alone in its picture is real; of composed crowds
    only the number of faces is known. Raises ServerFault."""
    if job.model == contract.VERIFY:
        told = read_verification(answer, anti_spoofing=job.liveness)
        return told.verified and (not job.liveness or bool(told.is_real_1 and told.is_real_2))
    faces = read_faces(answer, anti_spoofing=job.liveness, embeddings=True, given=False)
    return len(faces) == job.faces and (not job.liveness or job.faces != 1 or bool(faces[0].is_real))


def _given(image: Picture) -> bytes | NDArray[np.uint8]:
    if image.encoded:
        return image.data
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)


def _serialised(call: Call) -> bytes:
    """A KServe ModelInferRequest, as tritonclient makes it."""
    request = service_pb2.ModelInferRequest(model_name=call.model)
    for tensor in call.inputs:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.values.shape)
        request.raw_input_contents.append(_content(tensor))
    for name, value in call.parameters.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name}: only a bool is sent here, not {value!r}")
        request.parameters[name].bool_param = value
    return bytes(request.SerializeToString())


def _content(tensor: Tensor) -> bytes:
    if tensor.datatype == "BYTES":
        return bytes(serialize_byte_tensor(tensor.values).item())
    return tensor.values.tobytes()


if __name__ == "__main__":
    main()
