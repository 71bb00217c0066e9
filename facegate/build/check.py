"""A pack of one's own, tried before it is served: its files, its graphs, the proof, and what its nets are shown."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from facegate.build.build import Say, fetch_pack, parity_line, weight_files, with_possible_look
from facegate.build.checks.contact_sheet import contact_sheet, describe
from facegate.build.checks.parity import prove
from facegate.build.graphs.cpu import cpu_graphs
from facegate.build.graphs.served import served_graph
from facegate.build.paths import TEMPLATES
from facegate.build.repository.assemble import assemble
from facegate.errors import GraphError, PackError
from facegate.packs.pack_file import PackFile
from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.image import decode
from facegate_ensemble.pack import Pack
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.onnx.runner import OnnxInferer

SAMPLES = {"image_T1.jpg": "a live face", "image_F1.jpg": "a spoof", "image_F2.jpg": "a spoof"}


def check(pack: PackFile, pictures: Sequence[Path], sheet: Path, *, accept_license: bool, say: Say) -> None:
    """Say of every net how it is fed and what its proof found, and write the contact sheet.

    The sheet shows the first of `pictures`, which join the sample pictures in the proof, or the live sample. Raises
    PackError, whose `faults` have a line for each net that contradicts the pack, FetchError, or ParityError.
    """
    if not cv2.haveImageWriter(str(sheet)):
        raise PackError(f"--sheet {sheet}: give it the name of a .png or .jpg")
    for picture in pictures:
        _image(picture)
    fetched = fetch_pack(pack, accept_license=accept_license)
    pack = with_possible_look(pack, fetched, say)
    built = pack.built({name: fetched[name] for name in weight_files(pack)})
    graphs = _graphs(pack, built, fetched, say)
    samples = [fetched[name] for name in SAMPLES]
    with tempfile.TemporaryDirectory(prefix="facegate-") as scratch:
        repository = Path(scratch) / "repository"
        assemble(built, {}, graphs, TEMPLATES, repository, cpu_graphs(graphs, say))
        for parity in prove(built, fetched, repository, [*pictures, *samples]):
            say(parity_line(parity))
        if built.liveness:
            _judge_samples(built, repository, samples, say)
        shown = pictures[0] if pictures else samples[0]
        drawn = contact_sheet(built, repository, _image(shown), shown.name)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(sheet), drawn):
        raise PackError(f"--sheet {sheet}: it cannot be written")


def _image(picture: Path) -> NDArray[np.uint8]:
    try:
        return decode(picture.read_bytes())
    except InvalidImage as error:
        raise PackError(f"{picture}: {error}") from None


def _graphs(pack: PackFile, built: Pack, fetched: Mapping[str, Path], say: Say) -> dict[str, onnx.ModelProto]:
    graphs, faults = {}, []
    for model, net in built.nets.items():
        try:
            graphs[model] = served_graph(built, model, fetched[net.file])
            say(f"{model:16} {describe(net)}, {net.file}: {pack.files[net.file].licence}")
        except GraphError as error:
            faults.append(f"{model}: {error}")
    if faults:
        raise PackError(f"{pack.name}: {'; '.join(faults)}", tuple(faults))
    return graphs


def _judge_samples(pack: Pack, repository: Path, samples: Sequence[Path], say: Say) -> None:
    """Nets that take a spoof for more alive than the live face are fed wrongly, or their classes are mixed up."""
    pipeline = Pipeline(pack, OnnxInferer(repository, pack.nets))
    p_real = []
    for sample in samples:
        found = pipeline.analyze(_image(sample), anti_spoofing=True, embeddings=False, max_faces=1).liveness
        assert found is not None  # noqa: S101 - asked for
        p_real.append(float(found.p_real[0]))
        verdict = "real" if found.is_real[0] else "fake"
        say(f"liveness         {sample.name}, {SAMPLES[sample.name]}: P(real) {p_real[-1]:.3f}, {verdict}")
    if p_real[0] <= max(p_real[1:]):
        raise PackError(
            f"{pack.name}: its liveness nets take a spoof for more alive than the live face; "
            "look at their colour, mean, std and crop_scale, and at classes and real_class"
        )
