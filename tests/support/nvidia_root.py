"""What NVIDIA's image has in /opt/tritonserver, as far as a machine without it has that: made of the embedded server's
parts; and the watcher over it."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from facegate.cli.running import free_ports
from facegate.serve.embedded import PYTHON_BACKED, find_embedded
from support.serving import Server, running


def make_root(folder: Path) -> Path:
    """Fill `folder` with the program, its Python backend, and ours for ONNX Runtime in the place of NVIDIA's."""
    embedded = find_embedded()
    (folder / "bin").mkdir(parents=True)
    shutil.copy2(embedded.program, folder / "bin")
    shutil.copytree(embedded.python_backend, folder / "backends/python")
    shutil.copy2(embedded.stub, folder / "backends/python")
    shutil.copytree(PYTHON_BACKED / "onnxruntime", folder / "backends/onnxruntime")
    return folder


def serving_from(
    root: Path, log: Path, repository: Path, environment: Mapping[str, str] | None = None, **more: object
) -> AbstractContextManager[Server]:
    """The watcher with the Triton in `root`, whose libraries are where the environment says."""
    folders = [str(find_embedded().libraries), sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
    ports = free_ports(3)
    given = {
        "backend": "onnxruntime",
        "inferer": "bls",
        "host": "127.0.0.1",
        "admin_key": "not a secret: a test's",
        **dict(zip(("grpc_port", "http_port", "metrics_port"), ports, strict=True)),
        **more,
    }
    program = (
        "from pathlib import Path; from facegate.serve.supervisor import Supervisor;"
        "from facegate.serve.triton import Settings;"
        f"Supervisor(Settings(Path({str(repository)!r}), **{given!r}), Path({str(root)!r})).run()"
    )
    libraries = {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}
    return running(log, [sys.executable, "-c", program], ports, {**libraries, **(environment or {})})
