"""Where results are kept: a JSON file for each part."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.bench.machine import machine

FOLDER = ROOT / "benchmarks" / "results" / "bench"


def write(part: str, rows: list[dict[str, Any]], **more: Any) -> Path:
    """Write what a part measured, with the machine and the command; dataclasses become objects, floats four digits."""
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    head = json.dumps(_plain({"part": part, "command": command, "machine": machine(), **more}), indent=1)
    lines = ",\n".join(f"  {json.dumps(_plain(row))}" for row in rows)  # a line each: so the file stays small
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{part}.json"
    path.write_text(f'{head[:-2]},\n "rows": [\n{lines}\n ]\n}}\n', encoding="utf-8")
    return path


def read(part: str) -> dict[str, Any]:
    """What `write` wrote. Raises FileNotFoundError where the part has not been measured."""
    path = FOLDER / f"{part}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run python -m benchmarks {part}")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
