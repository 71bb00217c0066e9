"""The server's own pipeline in this process, by ONNX Runtime. Needs the extra `local`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from os import PathLike
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from facegate_client import contract
from facegate_client.errors import DeadlineExceeded, ServerFault, from_status
from facegate_client.results import Model
from facegate_client.transport.base import Answer, Call, Outputs
from facegate_ensemble.errors import RequestError
from facegate_ensemble.pack import RECOGNIZER, Pack
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.policy import Policy
from facegate_ensemble.runtime.cores import lane_count
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.triton import handlers
from facegate_ensemble.triton.request import Inputs

Handler = Callable[[Pipeline, Inputs, str], Outputs]


def open_local(repository: str | PathLike[str] | None) -> Local:
    """The nets of `repository`, else of FACEGATE_LOCAL_REPOSITORY, else of the pack FACEGATE_PACK, built when needed.

    Raises ValueError, in one line, where they are not there or cannot be opened.
    """
    chosen = repository or os.environ.get("FACEGATE_LOCAL_REPOSITORY")
    try:
        return Local(Path(chosen) if chosen else _built())
    except ImportError:
        raise
    except Exception as error:
        where = f" of {chosen}" if chosen else ""
        raise ValueError(f"the local nets{where} cannot be opened: {' '.join(str(error).split())}") from error


def _built() -> Path:
    from facegate.build.build import build
    from facegate.packs.shipped import pack_named

    return build(pack_named(os.environ.get("FACEGATE_PACK", "mobileface")), say=logging.getLogger(__name__).info)


class Local:
    """A repository's nets. Opens them at once, 0.2 to 0.3 s for 8 MB on two cores, so that the first call of an outage
    need not wait and what is wrong shows before one. Thread-safe; make it after a fork, not before.

    The environment sets the policy of `face_verify`, as in the server (`Policy.from_environment`).
    """

    def __init__(self, repository: Path) -> None:
        pack = _pack(repository)
        inferer = OnnxInferer(repository, pack.nets)
        for net in (*pack.detectors, RECOGNIZER):
            if not inferer.serves(net):
                raise FileNotFoundError(f"there is no {repository / net}")
        self.model = Model(
            pack.name,
            pack.licence,
            pack.commercial_use,
            pack.digest,
            pack.embedding_digest,
            pack.precision,
            float(pack.recognizer.threshold),
            local=True,
        )
        self._pipeline = Pipeline(pack, inferer)
        policy = Policy.from_environment(os.environ)
        self._handlers: dict[str, Handler] = {
            contract.ANALYZE: handlers.analyze,
            contract.VERIFY: partial(handlers.verify, policy=policy),
        }
        self._permits = asyncio.Semaphore(2 * lane_count())  # as many as the server has: a picture takes memory
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="facegate local", daemon=True)
        self._thread.start()

    def start(self, call: Call, timeout_s: float) -> Future[Answer]:
        """The answer, within `timeout_s` seconds, or the FaceGateError that a server would give."""
        return asyncio.run_coroutine_threadsafe(self._answer(call, timeout_s), self._loop)

    def close(self) -> None:
        """Cancels what waits; what is under way ends, and is not answered."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._pipeline.lanes.close()

    async def _answer(self, call: Call, timeout_s: float) -> Answer:
        try:
            return await asyncio.wait_for(self._permitted(call), timeout_s)
        except asyncio.TimeoutError:
            raise DeadlineExceeded(f"no answer from this process's own nets within {timeout_s:.3g} s") from None
        except RequestError as error:
            raise from_status(None, str(error)) from error
        except Exception as error:
            raise ServerFault(f"a fault of this process's own nets: {type(error).__name__}") from error

    async def _permitted(self, call: Call) -> Answer:
        inputs = {tensor.name: tensor.values for tensor in call.inputs}
        handle = partial(self._handlers[call.model], self._pipeline, inputs, json.dumps(dict(call.parameters)))
        await self._permits.acquire()
        try:
            working: Future[Outputs] = self._pipeline.lanes.start(handle)
        except BaseException:
            self._permits.release()
            raise
        working.add_done_callback(self._give_back)  # only then: a caller who gives up ends no work
        return Answer(await asyncio.wrap_future(working), local=True)

    def _give_back(self, _: object) -> None:
        with contextlib.suppress(RuntimeError):  # closed
            self._loop.call_soon_threadsafe(self._permits.release)

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(_cancelled(asyncio.all_tasks(self._loop)))
        self._loop.close()


async def _cancelled(tasks: Iterable[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _pack(repository: Path) -> Pack:
    text = (repository / contract.ANALYZE / "config.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return Pack.model_validate_json(config.parameters["pack"].string_value)
