"""The served graphs by plain ONNX Runtime, against the published nets they are made of: `python -m benchmarks nets`.

A published net is run as most would: its own file, ONNX Runtime's defaults, one float picture at a time, on all cores.
What makes its input out of bytes, and boxes out of a detector's output, is not counted; in a served graph it is inside.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.bench.cases import wanted
from benchmarks.bench.pictures import picture
from benchmarks.bench.roofline import (
    NETS,
    Job,
    Way,
    batch_of,
    best,
    best_ways,
    graph,
    job,
    rate,
    session,
    thread_counts,
)
from benchmarks.bench.spread import spread
from facegate.build.build import Built, build_served
from facegate.build.checks.reference import Reference
from facegate.packs.shipped import pack_named, sample_pictures
from facegate_client import contract
from facegate_client.imaging.image import decode
from facegate_ensemble.pack import DETECTOR, RECOGNIZER, Net
from facegate_ensemble.pipeline.alignment import aligned_crops
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.liveness import context_crops
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.cores import cores
from facegate_ensemble.runtime.onnx.runner import OnnxInferer

ROUNDS = 5
ROWS = (1, 2, 4, 8, 16, 32)

Image = NDArray[np.uint8]
Row = dict[str, Any]


def measure(quick: bool) -> list[Row]:
    """Rows of four kinds, by `kind`:

    - graph: a served graph by rows and threads, one caller: milliseconds a run, items a second
    - best: a served graph in the way that uses all cores best, and its published net, at the defaults and in its own
      best way: items a second
    - ratio: the published nets' time over the served graphs': of the three nets of a face, of the detector by pixel
      Each is given against the published nets at the defaults, and in their best way
    - agreement: how far the two are apart on the faces of pictures
    """
    built = build_served(pack_named("mobileface"), say=lambda _: None)
    seconds = 0.1 if quick else 0.5
    image = decode(picture("640x480", 1).data)
    nets = {model: net for model, net in built.pack.nets.items() if model in NETS}
    fed = {model: _fed(net, image) for model, net in nets.items()}
    files = {model: built.fetched[net.file] for model, net in nets.items()}
    originals = {model: _by_default(file, fed[model]) for model, file in files.items()}
    tuned = {model: best(_side_by_side(file, fed[model])) for model, file in files.items()}
    ways = best_ways(built.repository)
    grid = {
        (model, threads, rows): job(opened, batch_of(image, opened, rows))
        for model, net in nets.items()
        for threads in thread_counts()
        for opened in [session(graph(built.repository, model), threads)]
        for rows in ROWS
        if rows <= net.max_batch
    }
    runs: dict[tuple[str, int, int], list[float]] = {case: [] for case in grid}
    original: dict[str, list[float]] = {model: [] for model in originals}
    original_best: dict[str, list[float]] = {model: [] for model in originals}
    served: dict[str, list[float]] = {model: [] for model in originals}
    for _ in range(ROUNDS):
        for model in originals:
            original[model].append(rate([originals[model]], 1, seconds))
            original_best[model].append(tuned[model].rate(seconds))
            served[model].append(ways[model].rate(seconds))
        for case, one in grid.items():
            runs[case].append(_milliseconds(one, seconds))
    rows = [_graph(*case, milliseconds) for case, milliseconds in runs.items()]
    for model in originals:
        rates = {
            "served_items_per_s": served[model],
            "original_items_per_s": original[model],
            "original_best_items_per_s": original_best[model],
        }
        rows.append(
            {"kind": "best", "net": model, "way": str(ways[model]), "original_way": str(tuned[model])}
            | {name: asdict(spread(each)) for name, each in rates.items()}
        )
    faces = [model for model in originals if model != DETECTOR]
    for name, models, least in (("three nets of a face", faces, 1.6), ("detector, by pixel", [DETECTOR], 1.0)):
        row = _ratio(name, original, served, models)
        rows.append(row | wanted(row["original_over_served"]["median"], ">=", least))
        rows.append(_ratio(f"{name}, the published in their best way too", original_best, served, models))
    return rows + _agreement(built)


def _graph(model: str, threads: int, rows: int, milliseconds: list[float]) -> Row:
    case = {"kind": "graph", "net": model, "rows": rows, "threads": threads}
    items = [1000 * rows / each for each in milliseconds]
    return {**case, "latency_ms": asdict(spread(milliseconds)), "items_per_s": asdict(spread(items))}


def _ratio(
    name: str, original: Mapping[str, list[float]], served: Mapping[str, list[float]], models: Iterable[str]
) -> Row:
    """One round's times are divided by each other. A detector reads as many pixels in both."""
    of = [[[1 / rates[model][i] for model in models] for i in range(ROUNDS)] for rates in (original, served)]
    times = [[sum(each) for each in rounds] for rounds in of]
    return {
        "kind": "ratio",
        "of": name,
        "original_over_served": asdict(spread([a / b for a, b in zip(*times, strict=True)])),
        "original_ms": asdict(spread([1000 * each for each in times[0]])),
        "served_ms": asdict(spread([1000 * each for each in times[1]])),
    }


def _fed(net: Net, image: Image) -> NDArray[np.float32]:
    """What a published net is fed for one picture."""
    pixels = letterbox(image, net.height, net.width)[0]
    return np.asarray(((pixels - np.array(net.mean)) / net.std).transpose(2, 0, 1)[None], np.float32)


def _by_default(weights: Path, fed: NDArray[np.float32]) -> Job:
    """A published net under ONNX Runtime's defaults."""
    opened = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    assert opened.get_inputs()[0].shape[2:] == list(fed.shape[2:]), f"{weights.name} reads another size"
    return job(opened, fed)


def _side_by_side(weights: Path, fed: NDArray[np.float32]) -> Iterator[Way]:
    """A published net by sessions on all cores, each with its part of them; it takes one picture at a time."""
    for threads in thread_counts():
        yield Way(tuple(job(session(weights, threads), fed) for _ in range(cores() // threads)), 1, threads)


def _milliseconds(one: Job, seconds: float) -> float:
    """The median run of a job that is repeated for `seconds`."""
    one()
    end = time.perf_counter() + seconds
    times: list[float] = []
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        one()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def _agreement(built: Built) -> list[Row]:
    """A row for the recognizer and for each liveness net: the largest difference to the published net fed by hand."""
    paths = [built.fetched[name] for name in sample_pictures()]
    if mirror := os.environ.get("FACEGATE_MIRROR"):
        paths += sorted((Path(mirror) / "images").rglob("*.jpg"))
    crops = _crops(built, [decode(path.read_bytes()) for path in paths])
    rows = []
    for model, fed in crops.items():
        net = built.pack.nets[model]
        reference = Reference(net, built.fetched[net.file])
        expected = [reference.read(reference.raw(crop)) for crop in fed]
        opened = session(graph(built.repository, model), 1)
        name = opened.get_inputs()[0].name
        answer = np.concatenate([opened.run(None, {name: fed[at : at + 8]})[0] for at in range(0, len(fed), 8)])
        row = {"kind": "agreement", "net": model, "pictures": len(paths), "faces": len(fed)}
        if model == RECOGNIZER:
            cosines = [float(a @ b[contract.EMBEDDINGS]) for a, b in zip(answer, expected, strict=True)]
            rows.append({**row, "least_cosine": min(cosines), **wanted(min(cosines), ">=", 0.9999)})
        else:
            assert built.pack.liveness is not None
            real = built.pack.liveness.real_class
            apart = [
                abs(float(a[real] - b[contract.PROBABILITIES][real])) for a, b in zip(answer, expected, strict=True)
            ]
            rows.append({**row, "largest_p_real_difference": max(apart), **wanted(max(apart), "<=", 1e-3)})
    return rows


def _crops(built: Built, images: Iterable[Image]) -> dict[str, Image]:
    """What each net but the detector is fed for the faces of these images: UINT8 [N, H, W, 3]."""
    pipeline = Pipeline(built.pack, OnnxInferer(built.repository, built.pack.nets))
    net = built.pack.recognizer
    template = np.array(net.template, dtype=np.float32)
    crops: dict[str, list[Image]] = {model: [] for model in built.pack.nets if model not in built.pack.detectors}
    for image in images:
        faces = pipeline.analyze(image, anti_spoofing=False, embeddings=False).faces
        crops[RECOGNIZER].append(aligned_crops(image, faces.landmarks, template, net.height, net.width))
        for each in built.pack.liveness_nets:
            crops[each.name].append(context_crops(image, faces.boxes, each.crop_scale, each.height, each.width))
    return {model: np.concatenate(each) for model, each in crops.items()}
