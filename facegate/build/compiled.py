"""From a pack's proven fp32 graphs to a repository of engines: precision, compilation, gate, assembly."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from facegate import PACKAGE
from facegate.build.build import (
    Built,
    Say,
    build_served,
    put_in_place,
    repository_name,
    scratch_beside,
)
from facegate.build.checks.known_answers import load_known_answers, save_known_answers
from facegate.build.checks.pictures import Pictures, pictures_of
from facegate.build.device import NoGpuError, gpus
from facegate.build.judging import Judging
from facegate.build.order import Engines, Order, Progress, kept_in_fp32
from facegate.build.paths import ENGINES, REPOSITORIES, TEMPLATES
from facegate.build.precision.half import in_precision
from facegate.build.profile import of_batch, profile
from facegate.build.repository.assemble import assemble
from facegate.build.repository.stamp import Stamp, engine_key, read_stamp, sha256, write_stamp
from facegate.build.runtime import Runtime, runtime
from facegate.build.seal import is_whole, seal
from facegate.build.target import Precision, Target
from facegate.build.tensorrt.compile import compile_engine
from facegate.build.weights.lock import locked
from facegate.errors import EngineError, UnfitError
from facegate.packs.shipped import sample_pictures
from facegate_ensemble.pack import Pack
from facegate_ensemble.runtime.tensorrt.log import log_of


class Store:
    """A directory of engines: `<model>-<first 16 digits of the key>/1/` in it has model.onnx, the engine, its stamp."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, model: str, key: str, target: Target) -> Stamp | None:
        """The stamp of the engine with this key, or None where it is not here or not whole."""
        engine = self.files(model, key) / target.file
        try:
            stamp = read_stamp(engine)
        except EngineError:
            return None
        return stamp if stamp.key == key and stamp.graph == _digest(engine.with_name("model.onnx")) else None

    def files(self, model: str, key: str) -> Path:
        """The directory of an engine's files."""
        return self._folder / f"{model}-{key[:16]}" / "1"

    def put(self, stamp: Stamp, graph: bytes, engine: bytes, layers: str | None) -> None:
        """Keep an engine with its graph, its stamp and the report by layer; whole, or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self.files(stamp.model, stamp.key).parent
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".new-") as scratch:
            fresh = Path(scratch) / "entry" / "1"
            fresh.mkdir(parents=True)
            (fresh / "model.onnx").write_bytes(graph)
            (fresh / stamp.target.file).write_bytes(engine)
            write_stamp(stamp, fresh / stamp.target.file)
            if layers is not None:
                (fresh / "layers.json").write_text(layers, encoding="utf-8")
            if place.exists():
                place.rename(Path(scratch) / "old")
            fresh.parent.rename(place)


def _digest(file: Path) -> str | None:
    return sha256(file.read_bytes()) if file.is_file() else None


def build_engines(order: Order, *, accept_license: bool, say: Say, progress: Progress) -> Engines:
    """Build what is not there yet, judge it, and put the repository in its place.

    Raises PackError, FetchError, GraphError, ParityError, or EngineError, and then leaves the repository that was there
    before. What was built remains in build/engines for the next time.
    """
    order.options.check(order.target)
    compiler = runtime(order.target)
    if order.target is Target.onnxruntime and order.precision is Precision.fp32:
        return _served(order, accept_license=accept_license, say=say)
    served = build_served(order.pack, size=order.size, liveness=order.liveness, accept_license=accept_license, say=say)
    samples = [served.fetched[name] for name in sample_pictures()]
    pictures = pictures_of(order.pictures, samples)
    if order.verify and pictures.files == tuple(samples):
        say(f"gate: on {len(samples)} sample pictures only, which are few; give your own with --pictures")
    pack = of_batch(served.pack, order.max_batch).model_copy(update={"precision": order.precision.value})
    judging = Judging(served, pack, order.target, order.precision, pictures, say)
    work = _Work(order, served, pack, pictures, judging, compiler, say, progress)
    with locked(REPOSITORIES):
        return work.done()


def _served(order: Order, *, accept_license: bool, say: Say) -> Engines:
    """The fp32 graphs themselves, which others are held against: they are proven, and have no stamps."""
    for option, given in (("--max-batch", order.max_batch), ("--model", order.models)):
        if given:
            raise EngineError(
                f"{option} is not for {order.target.label} in fp32, which is made whole; give --target, or leave it out"
            )
    served = build_served(
        order.pack,
        size=order.size,
        liveness=order.liveness,
        accept_license=accept_license,
        force=order.force,
        say=say,
    )
    return Engines((), frozenset(), served.repository)


@dataclass(frozen=True, slots=True)
class _Net:
    """One net to be built: its proven fp32 graph, and the name of everything that the engine depends on."""

    model: str
    graph: bytes
    key: str


@dataclass(frozen=True, slots=True)
class _Work:
    """One order being carried out."""

    order: Order
    served: Built
    pack: Pack
    pictures: Pictures
    judging: Judging
    compiler: Runtime
    say: Say
    progress: Progress

    def done(self) -> Engines:
        """All that the order asks for."""
        order, store = self.order, Store(ENGINES)
        nets = [self._net(model) for model in self.pack.nets if (self.served.repository / model).is_dir()]
        _check_models(order.models, [net.model for net in nets])
        missing = [net for net in nets if order.force or not store.find(net.model, net.key, order.target)]
        todo = [net for net in missing if not order.models or net.model in order.models]
        self._build(store, todo)
        fresh = frozenset(net.model for net in todo)
        found = {net.model: store.find(net.model, net.key, order.target) for net in nets}
        stamps = {model: stamp for model, stamp in found.items() if stamp}
        if len(stamps) < len(found):
            lacking = ", ".join(model for model in found if model not in stamps)
            self.say(f"no repository: {lacking} not built yet; build them without --model")
            return Engines(tuple(stamps.values()), fresh, None)
        name = repository_name(
            order.pack, order.target.value, order.precision.value, size=order.size, liveness=order.liveness
        )
        return Engines(tuple(self._install(store, stamps, REPOSITORIES / name)), fresh, REPOSITORIES / name)

    def _net(self, model: str) -> _Net:
        graph = (self.served.repository / model / "1" / "model.onnx").read_bytes()
        key = engine_key(
            served=sha256(graph),
            precision=self.order.precision,
            keep_fp32=self._kept(model),
            profile=profile(self.pack.nets[model]),
            target=self.order.target,
            version=self.compiler.version,
            gpu=self.compiler.gpu,
            options=self.order.options.chosen(),
            tools=_tools(),
        )
        return _Net(model, graph, key)

    def _kept(self, model: str) -> tuple[str, ...]:
        return kept_in_fp32(self.pack.nets[model], self.order.precision)

    def _build(self, store: Store, nets: Sequence[_Net]) -> None:
        """Build and keep each net. An interruption waits for no more than the step that TensorRT is at."""
        if not nets:
            return
        if self.order.options.layers:
            _require_gpu()
        stop = threading.Event()
        with ThreadPoolExecutor(1, "build") as worker:  # not this thread, which takes Ctrl-C
            try:
                for net in nets:
                    worker.submit(self._build_one, store, net, stop).result()
            except BaseException:  # Ctrl-C too
                stop.set()
                raise

    def _build_one(self, store: Store, net: _Net, stop: threading.Event) -> None:
        order, compiler, limits = self.order, self.compiler, profile(self.pack.nets[net.model])
        started = time.perf_counter()
        self.progress(net.model, f"graph in {order.precision.value}", 0, 1)
        graph = self._converted(net)
        engine = graph
        if compiler.module is not None:

            def told(phase: str, done: int, steps: int) -> None:
                self.progress(net.model, phase, done, steps)

            engine = compile_engine(compiler.module, net.model, graph, limits, order.options, told, stop)
        stamp = Stamp(
            model=net.model,
            pack=self.pack.name,
            source=sha256(self.served.fetched[self.pack.nets[net.model].file].read_bytes()),
            served=sha256(net.graph),
            graph=sha256(graph),
            engine=sha256(engine),
            precision=order.precision,
            keep_fp32=self._kept(net.model),
            profile=asdict(limits),
            target=order.target,
            version=compiler.version,
            gpu=compiler.gpu.name if compiler.gpu else None,
            compute_capability=compiler.gpu.compute_capability if compiler.gpu else None,
            options=order.options.chosen(),
            tools=_tools(),
            seconds=round(time.perf_counter() - started, 3),
            size=len(engine),
            key=net.key,
        )
        layers = layers_of(compiler.module, net.model, engine) if order.options.layers else None
        store.put(stamp, graph, engine, layers)
        self.progress(net.model, "built", 1, 1)

    def _converted(self, net: _Net) -> bytes:
        """The graph in the order's precision."""
        if self.order.precision is Precision.fp32:
            return net.graph
        served = onnx.load_from_string(net.graph)
        converted = in_precision(served, self.order.precision, self._kept(net.model))
        return bytes(converted.SerializeToString(deterministic=True))

    def _install(self, store: Store, stamps: Mapping[str, Stamp], repository: Path) -> list[Stamp]:
        """The repository of these engines in its place, judged; returns the stamps as they are there."""
        order, file = self.order, self.order.target.file
        judged = [self.pictures.digest, self.judging.runner] if order.verify else None
        pack = sha256(self.pack.model_dump_json().encode())
        asked = json.dumps([pack, judged, *(stamp.key for stamp in stamps.values())])
        if not order.force and is_whole(repository, self.served.licences, asked):
            self.say(f"{repository.name}: up to date")
            return [read_stamp(repository / model / "1" / file) for model in stamps]
        with scratch_beside(repository) as scratch:
            fresh = scratch / repository.name
            graphs = {model: onnx.load(store.files(model, stamp.key) / "model.onnx") for model, stamp in stamps.items()}
            assemble(self.pack, self.served.licences, graphs, TEMPLATES, fresh, {})
            for model, stamp in stamps.items():
                shutil.copytree(store.files(model, stamp.key), fresh / model / "1", dirs_exist_ok=True)
            gate = self._gate(fresh, stamps, repository) if order.verify else {}
            final = [stamp.model_copy(update={"gate": gate.get(model)}) for model, stamp in stamps.items()]
            for stamp in final:
                write_stamp(stamp, fresh / stamp.model / "1" / file)
            known = load_known_answers(self.served.repository)
            save_known_answers(known, fresh)
            seal(fresh, self.served.licences, asked)
            put_in_place(fresh, repository, scratch)
        self.say(f"{repository.name}: assembled")
        return final

    def _gate(self, fresh: Path, stamps: Mapping[str, Stamp], repository: Path) -> dict[str, dict[str, Any]]:
        """What was found. A repository that has the very engines which are found unfit is not left to be served."""
        try:
            return self.judging.judge(fresh)
        except UnfitError as unfit:
            same = [model for model in sorted(unfit.models) if self._installed(repository, model) == stamps[model].key]
            if same:
                shutil.rmtree(repository)
                self.say(f"{repository.name} had the same engine of {' and '.join(same)}, and was removed")
            raise

    def _installed(self, repository: Path, model: str) -> str | None:
        """The key of the engine that is installed, None where there is none."""
        try:
            return read_stamp(repository / model / "1" / self.order.target.file).key
        except EngineError:
            return None


def _tools() -> dict[str, str]:
    """What else an engine is made by: the converters, and our own code that drives them."""
    sources = sorted(path for folder in ("precision", "tensorrt") for path in (PACKAGE / "build" / folder).glob("*.py"))
    code = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "facegate": code[:16]}


def _require_gpu() -> None:
    try:
        gpus()
    except NoGpuError as error:
        raise EngineError(f"--layers: no report by layer, since engines cannot be loaded here: {error}") from None


def _check_models(wanted: Sequence[str], known: Sequence[str]) -> None:
    for model in wanted:
        if model not in known:
            raise EngineError(f"--model {model}: no such net; there are {', '.join(known)}")


def layers_of(trt: Any, model: str, plan: bytes) -> str:
    """JSON: the engine's layers with their kernels, types and shapes, as TensorRT writes it.

    Needs a GPU, on which the engine is loaded; raises EngineError where there is none.
    """
    log = log_of(trt)
    log.forget()
    engine = trt.Runtime(log).deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{model}: no report by layer, since the engine cannot be loaded here: {log.first_error()}")
    return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))
