"""Engines that have been built, each under the name of everything it depends on. It may be deleted at any time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from facegate.build.errors import EngineError
from facegate.build.repository.stamp import Stamp, read_stamp, sha256, write_stamp
from facegate.build.target import Target


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
