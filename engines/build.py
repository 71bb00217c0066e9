"""From a pack's name to a served repository: fetch, served graphs, proof, assembly."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import TypeAdapter

from engines.assemble import assemble
from engines.fetch import fetch
from engines.graphs import served_graph
from engines.lock import locked
from engines.parity import Parity, prove
from ensemble.pack import Pack, PackError, WeightFile, load_pack

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FORM = ROOT / "model_repository"
FETCHED = ROOT / "build" / "fetched"
REPOSITORIES = ROOT / "build" / "repository"
FINGERPRINT = "fingerprint"

Say = Callable[[str], None]


def pack_named(name: str) -> Pack:
    """The pack packs/<name>.toml. Raises PackError, which lists the packs there are."""
    known = sorted(path.stem for path in (ROOT / "packs").glob("*.toml") if path.stem != "samples")
    if name not in known:
        raise PackError(f"no pack {name!r}; there are {', '.join(known)}")
    return load_pack(ROOT / "packs" / f"{name}.toml")


def fetch_pack(pack: Pack, *, liveness: bool = True) -> dict[str, Path]:
    """The pack's weights, or all but the liveness nets', and the sample pictures, in build/fetched by their names.

    Raises FetchError, which lists all that is missing.
    """
    wanted = {net.file for model, net in pack.nets.items() if liveness or model not in _liveness_nets(pack)}
    weights = {name: file for name, file in pack.files.items() if name in wanted}
    return fetch({**weights, **_samples()}, FETCHED, mirror=os.environ.get("FACEGATE_MIRROR"))


def _samples() -> dict[str, WeightFile]:
    table = tomllib.loads((ROOT / "packs" / "samples.toml").read_text(encoding="utf-8"))
    return TypeAdapter(dict[str, WeightFile]).validate_python(table)


def build(pack: Pack, *, liveness: bool = True, say: Say = print) -> Path:
    """The repository of `pack` for ONNX Runtime in fp32, made only when something it is made of has changed.

    Without `liveness` it has no liveness nets, and a request for anti_spoofing is refused. Raises FetchError,
    GraphError or ParityError, and then leaves the repository that was there before.
    """
    name = f"{pack.name}-onnxruntime-fp32" + ("" if liveness else "-without-liveness")
    repository = REPOSITORIES / name
    fetched = fetch_pack(pack, liveness=liveness)
    REPOSITORIES.mkdir(parents=True, exist_ok=True)
    with locked(REPOSITORIES):
        if _is_current(pack, repository):
            say(f"{name}: up to date")
        else:
            _make(pack, repository, [fetched[name] for name in _samples()], liveness, say)
            say(f"{name}: assembled")
    return repository


def _make(pack: Pack, repository: Path, samples: list[Path], liveness: bool, say: Say) -> None:
    """Put a proven repository in the place of the one that may be there."""
    skipped = set() if liveness else _liveness_nets(pack)
    graphs = {
        model: served_graph(pack, model, FETCHED / net.file) for model, net in pack.nets.items() if model not in skipped
    }
    with tempfile.TemporaryDirectory(dir=REPOSITORIES, prefix=".new-") as scratch:
        fresh = Path(scratch) / repository.name
        assemble(pack, graphs, FORM, fresh)
        for parity in prove(pack, FETCHED, fresh, samples):
            say(_line(parity))
        (fresh / FINGERPRINT).write_text(_fingerprint(pack, fresh), encoding="utf-8")
        if repository.exists():
            repository.rename(Path(scratch) / "old")
        fresh.rename(repository)


def _is_current(pack: Pack, repository: Path) -> bool:
    stamp = repository / FINGERPRINT
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _fingerprint(pack, repository)


def _liveness_nets(pack: Pack) -> set[str]:
    return {net.name for net in pack.liveness.nets}


def _line(parity: Parity) -> str:
    return (
        f"{parity.model:16} {parity.output:14} {parity.pictures:3} inputs: "
        f"{parity.to_original:.1e} from the published net, {parity.batch_to_singles:.1e} between batch and singles"
    )


def _fingerprint(pack: Pack, repository: Path) -> str:
    """A digest of what a repository is made of (the pack, its files' hashes with it, the form, the code) and holds."""
    digest = hashlib.sha256(pack.model_dump_json().encode())
    for path in (*_sources(), *_files(repository)):
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield from sorted(path for path in FORM.rglob("*") if path.suffix in (".pbtxt", ".py"))
    for folder in ("engines", "ensemble", "client/facegate_client"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def _files(repository: Path) -> list[Path]:
    return sorted(path for path in repository.rglob("*") if path.is_file() and path.name != FINGERPRINT)
