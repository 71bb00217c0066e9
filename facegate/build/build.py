"""From a pack's name to a served repository: licence, fetch, served graphs, proof, assembly."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

import facegate_client
import facegate_ensemble
from facegate import PACKAGE
from facegate.build.checks.known_answers import make_known_answers, save_known_answers
from facegate.build.checks.parity import Parity, prove
from facegate.build.graphs.cpu import cpu_graphs
from facegate.build.graphs.resized import resized
from facegate.build.graphs.served import served_graph
from facegate.build.paths import FETCHED, REPOSITORIES, RESIZED, TEMPLATES
from facegate.build.repository.assemble import assemble, packed
from facegate.build.repository.manifest import ManifestError, check_files, read_manifest, write_manifest
from facegate.build.target import Size
from facegate.build.weights.fetch import fetch, is_here
from facegate.build.weights.lock import locked
from facegate.errors import GraphError, PackError
from facegate.packs.pack_file import PackFile, WeightFile
from facegate.packs.shipped import sample_pictures, shipped_packs
from facegate_ensemble.pack import DETECTOR, Detector, Pack

SCRATCH = ".new-"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """A pack with its proven fp32 graphs: the weights and pictures by their names, the nets' licences by model, and the
    repository that has the graphs."""

    pack: Pack
    fetched: Mapping[str, Path]
    licences: Mapping[str, str]
    repository: Path


def fetch_pack(pack: PackFile, *, liveness: bool = True, accept_license: bool = False) -> dict[str, Path]:
    """The pack's weights, or all but the liveness nets', and the sample pictures, by their names.

    Raises PackError where the licence has to be accepted first, and FetchError, which lists all that is missing.
    """
    if not (pack.commercial_use or accept_license):
        raise PackError(
            f"the pack {pack.name} is not for commercial use ({pack.licence}); "
            "if your use is within its licence, say so with --accept-license"
        )
    files = {**weight_files(pack, liveness=liveness), **sample_pictures()}
    if cache(pack) != FETCHED:
        _share(files, cache(pack))
    return fetch(files, cache(pack), mirror=os.environ.get("FACEGATE_MIRROR"), archives=pack.archives)


def _share(files: Mapping[str, WeightFile], own: Path) -> None:
    """What a pack of one's own has in common with ours is not fetched twice."""
    for name, file in files.items():
        if file.path is None and not (own / name).exists() and is_here(name, file, FETCHED):
            own.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(FETCHED / name, own / name)


def weight_files(pack: PackFile, *, liveness: bool = True) -> dict[str, WeightFile]:
    """What the pack's nets are made of, by name; without `liveness`, without those that only liveness nets need."""
    wanted = {net.file for model, net in pack.nets.items() if liveness or model not in _liveness_nets(pack)}
    return {name: file for name, file in pack.files.items() if name in wanted}


def cache(pack: PackFile) -> Path:
    """Where a pack's files are kept. A pack of one's own has a folder to itself: its names may be ours."""
    return FETCHED if pack.name in shipped_packs() else FETCHED / pack.name


def build(pack: PackFile, *, liveness: bool = True, accept_license: bool = False, say: Say = print) -> Path:
    """The repository of `pack` for ONNX Runtime in fp32; see `build_served`."""
    return build_served(pack, liveness=liveness, accept_license=accept_license, say=say).repository


def build_served(
    pack: PackFile,
    *,
    size: Size | None = None,
    liveness: bool = True,
    accept_license: bool = False,
    force: bool = False,
    say: Say = print,
) -> Built:
    """The repository of `pack` for ONNX Runtime in fp32, made only when something it is made of has changed, or by
    `force`.

    `size` is the detector's, the pack's where None. Without `liveness` it has no liveness nets, and a request for
    anti_spoofing is refused. Raises PackError, FetchError, GraphError or ParityError, and then leaves the repository
    that was there before.
    """
    name = repository_name(pack, "onnxruntime", "fp32", size=size, liveness=liveness)
    repository = REPOSITORIES / name
    if size == (pack.detector.height, pack.detector.width):
        size = None
    if size:
        pack = _of_size(pack, size, say)
    fetched = fetch_pack(pack, liveness=liveness, accept_license=accept_license)
    weights = {file: fetched[file] for file in weight_files(pack, liveness=liveness)}
    licences = {model: pack.files[net.file].licence for model, net in pack.nets.items()}
    inputs = inputs_checksum(pack.built(weights), licences)
    if not force and _is_current(repository, inputs):  # without a wait for others that build for minutes
        say(f"{name}: up to date")
        return Built(packed(repository), fetched, licences, repository)
    REPOSITORIES.mkdir(parents=True, exist_ok=True)
    with locked(REPOSITORIES):
        if not force and _is_current(repository, inputs):
            say(f"{name}: up to date")
        else:
            graphs = dict(fetched)
            if size:
                graphs[pack.detector.file] = resized(fetched[pack.detector.file], *size, RESIZED / pack.name)
            built = with_possible_look(pack, graphs, say).built(weights)
            _make(built, licences, repository, graphs, liveness, inputs, say)
            say(f"{name}: assembled")
    return Built(packed(repository), fetched, licences, repository)


def repository_name(pack: Pack, target: str, precision: str, *, size: Size | None, liveness: bool) -> str:
    """What the repository of a pack is called for what it is built for; `size` where it is not the pack's own."""
    own = size is None or size == (pack.detector.height, pack.detector.width)
    parts = [pack.name, target, precision, *([] if own or not size else [f"{size[0]}x{size[1]}"])]
    return "-".join(parts if liveness else [*parts, "without-liveness"])


def with_possible_look(pack: PackFile, weights: Mapping[str, Path], say: Say) -> PackFile:
    """Returns the pack, without its second look where the detector cannot run at that size.

    `say` reports what is left out. `weights` are the published models' files by their names.
    """
    if pack.detector.second_look is None:
        return pack
    for model, net in pack.detectors.items():
        try:
            served_graph(pack, model, weights[net.file])
        except GraphError as error:
            if model != DETECTOR:  # a detector that cannot be served at all is refused elsewhere
                say(f"{model}: not served, so a face that fills the picture may not be found: {error}")
            return pack.model_copy(update={"detector": pack.detector.model_copy(update={"second_look": None})})
    return pack


def _of_size(pack: PackFile, size: Size, say: Say) -> PackFile:
    """The pack with a detector of another size, and its second look if that is smaller. Raises PackError for a size
    that a detector cannot have."""
    changed: dict[str, object] = {"height": size[0], "width": size[1]}
    look = pack.detector.second_look
    if look and (look[0] >= size[0] or look[1] >= size[1]):
        say(f"--detector-size {size[0]}x{size[1]}: no second look, since {look[0]}x{look[1]} is not smaller")
        changed["second_look"] = None
    try:
        detector = Detector.model_validate({**pack.detector.model_dump(), **changed})
    except ValidationError as error:
        reason = "; ".join(str(each["msg"]).removeprefix("Value error, ") for each in error.errors())
        raise PackError(f"--detector-size {size[0]}x{size[1]}: {reason}") from None
    return pack.model_copy(update={"detector": detector})


def _make(
    built: Pack,
    licences: Mapping[str, str],
    repository: Path,
    fetched: Mapping[str, Path],
    liveness: bool,
    inputs: str,
    say: Say,
) -> None:
    """Put a proven repository in the place of the one that may be there."""
    skipped = set() if liveness else _liveness_nets(built)
    nets = {model: net for model, net in built.nets.items() if model not in skipped}
    graphs = {model: served_graph(built, model, fetched[net.file]) for model, net in nets.items()}
    with scratch_beside(repository) as scratch:
        fresh = scratch / repository.name
        assemble(built, licences, graphs, TEMPLATES, fresh, cpu_graphs(graphs, say))
        for parity in prove(built, fetched, fresh, [fetched[name] for name in sample_pictures()]):
            say(parity_line(parity))
        save_known_answers(make_known_answers(built, fresh, fetched), fresh)
        write_manifest(fresh, inputs)
        put_in_place(fresh, repository, scratch)


@contextmanager
def scratch_beside(repository: Path) -> Iterator[Path]:
    """A folder on the repository's disk for as long as it is needed; call under the lock. What a build that was killed
    has left there is removed."""
    for left in repository.parent.glob(f"{SCRATCH}*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=repository.parent, prefix=SCRATCH) as scratch:
        yield Path(scratch)


def put_in_place(fresh: Path, repository: Path, scratch: Path) -> None:
    """Let `fresh` take the place of the repository that may be there; both are on `scratch`'s disk."""
    old = scratch / "old"
    try:
        if repository.exists():
            repository.rename(old)
        fresh.rename(repository)
    except BaseException:  # Ctrl-C between the two, too
        if old.exists() and not repository.exists():
            old.rename(repository)
        raise


def _is_current(repository: Path, inputs: str) -> bool:
    try:
        manifest = read_manifest(repository)
        check_files(repository, manifest.files, repository)
    except ManifestError:
        return False
    return manifest.inputs == inputs


def _liveness_nets(pack: Pack) -> set[str]:
    return {net.name for net in pack.liveness_nets}


def parity_line(parity: Parity) -> str:
    """What a proof found, in words."""
    return (
        f"{parity.model:16} {parity.output:14} {parity.pictures:3} inputs: "
        f"{parity.to_original:.1e} from the published net, {parity.batches}"
    )


def inputs_checksum(pack: Pack, licences: Mapping[str, str], options: str = "") -> str:
    """SHA-256 of what a repository is built from: the pack with its digest, licences, templates, code and options."""
    digest = hashlib.sha256((pack.model_dump_json() + repr(sorted(licences.items())) + options).encode())
    for path in _sources():
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield from sorted(path for path in TEMPLATES.rglob("*") if path.suffix in (".pbtxt", ".py"))
    for folder in (
        str(PACKAGE / "build"),
        str(PACKAGE / "packs"),
        *facegate_ensemble.__path__,
        *facegate_client.__path__,
    ):
        yield from sorted(Path(folder).rglob("*.py"))
