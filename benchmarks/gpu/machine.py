"""What a machine is and has, without any package."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facegate.build.device import Gpu
from facegate_ensemble.runtime.cores import cores

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("onnxruntime", "tensorrt", "tensorrt_rtx", "pycuda", "tritonclient", "pytriton", "onnx", "numpy", "cv2")


def machine(gpus: Sequence[Gpu]) -> dict[str, Any]:
    """Hardware, driver, versions, and the commit of this checkout, JSON-ready; None for what cannot be told."""
    memory = _found(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo"))
    return {
        "gpus": [asdict(gpu) for gpu in gpus],
        "gpu_memory": _asked("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader"),
        "driver": _asked("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        or _found(r"Module\S*(?: for \S+)?\s+(\d+\.\d[\d.]*)", Path("/proc/driver/nvidia/version")),
        "cpu": _found(r"(?:model name|Model)\s*:\s*(.+)", Path("/proc/cpuinfo")) or platform.machine(),
        "architecture": platform.machine(),
        "cores": cores(),
        "memory_gb": round(int(memory) * 1024 / 1e9, 1) if memory else None,
        "system": _found(r'PRETTY_NAME="(.+)"', Path("/etc/os-release")) or platform.system(),
        "python": platform.python_version(),
        "packages": {module: _version(module) for module in MODULES},
        "commit": _asked("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
    }


def _version(module: str) -> str | None:
    """The versions of the packages that bring a module: of onnxruntime there can be two, and then one is in the way."""
    brought_by = sorted(set(importlib.metadata.packages_distributions().get(module, [])))
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in brought_by) or None


def _found(pattern: str, file: Path) -> str | None:
    try:
        found = re.search(pattern, file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1].strip() if found else None


def _asked(*command: str) -> str | None:
    """The first line that a command answers, or None where there is no such command or it fails."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(asked.stdout.strip().splitlines()), None)
