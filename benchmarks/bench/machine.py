"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from typing import Any

from benchmarks.gpu import machine as gpu_machine
from facegate.errors import ServeError
from facegate.serve.installation import find_triton

_LOAD_BEFORE = os.getloadavg()[0]
"""Processes that wanted a core in the minute before this module was first imported."""

_KEPT = ("cpu", "cores", "memory_gb", "system", "python", "commit")
_PACKAGES = ("onnxruntime", "numpy", "cv2", "tritonclient")


def machine() -> dict[str, Any]:
    """Hardware, versions, the load before, and the commit of this checkout ("-dirty": modified), JSON-ready."""
    told = gpu_machine.machine([])
    return {
        **{name: told[name] for name in _KEPT},
        "kernel": platform.release(),
        "load_before": round(_LOAD_BEFORE, 2),
        "packages": {name: told["packages"][name] for name in _PACKAGES},
        "triton": _triton(),
    }


def _triton() -> str | None:
    try:
        return find_triton().description
    except ServeError:
        return None
