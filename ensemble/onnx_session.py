"""How an ONNX Runtime session is opened on a CPU, wherever one is."""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A CPU session on the graph at `path`, using every core this process may run on.

    Threads do not spin while they wait: several sessions share the cores. No plan of memory is kept for each shape
    that was seen: with a changing batch that took half as much memory again, and no less time.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
