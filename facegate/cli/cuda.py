"""Whether ONNX Runtime can use this machine's GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnxruntime

SECONDS = 120

_TRY = """
import sys
from pathlib import Path
from facegate_ensemble.runtime.inference_error import NetFault
from facegate_ensemble.runtime.onnx.session import OnnxSession
try:
    OnnxSession(Path(sys.argv[1]), 1, "cuda")
except NetFault as fault:
    sys.exit(str(fault))
"""


def cuda_trouble(graph: Path) -> str | None:
    """Why ONNX Runtime does not run the served graph in a file on CUDA, or None where it does.

    Tried in a process of its own, which gives the GPU's memory back.
    """
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "the package onnxruntime here knows no CUDA; onnxruntime-gpu does"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRY, str(graph)], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"ONNX Runtime did not open a net on CUDA within {SECONDS} s"
    if tried.returncode == 0:
        return None
    return next(reversed(tried.stderr.strip().splitlines()), f"it ended with {tried.returncode}")
