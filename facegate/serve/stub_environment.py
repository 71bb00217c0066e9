"""The environment of tritonserver and of the Python processes behind its models, whichever Triton starts them."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from pathlib import Path

import facegate_client
import facegate_ensemble

MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "134217728"}
"""glibc's allocator keeps a heap for each thread, and what passed through it: pictures of many sizes in many threads
held four times the memory that they need. So: one heap, which keeps what is freed, since every page that is given back
has to be got again for the next picture; but for blocks from 32 MiB, and what is over 128 MiB at its end."""

PRIVATE = {"ORT_DISABLE_TELEMETRY": "1"}
"""From 1.29 ONNX Runtime's packages for Linux report sessions and graphs to its maker unless told not to:
https://github.com/microsoft/onnxruntime/pull/27379"""

INHERITED = re.compile(
    r"HOME|USER|LOGNAME|LANG|TZ|TMPDIR|LIBRARY_PATH|XDG_CACHE_HOME|GLIBC_TUNABLES|(LC|LD|MALLOC|TCMALLOC)_\w+|PYTHON\w+"
    r"|_?(CUBLAS|CUDA|CUDNN|DCGM|GOMP|GRPC|KMP|MKL|NCCL|NV|NVIDIA|NVPL|OMP|OPENBLAS|OPENCV|ORT|TENSORRT|TRITON|TRT|UCX)"
    r"_\w+"
)
"""Variables that are passed on: the system's, and those of the libraries that run in these processes. Nothing else is:
these processes decode untrusted pictures, and a secret may stand in a variable of any name."""

SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL")
"""Never passed on, whatever it begins with: NVIDIA_API_KEY is an account's."""


def stub_environment() -> dict[str, str]:
    """The inherited variables, changed so that stubs import our code and the packages that this process imports.

    A stub is a program of its own with Python inside. It looks for python3 along PATH to find out which virtual
    environment it belongs to; that of Triton 2.51 goes by nothing else (tried). Later ones read PYTHONPATH too, which
    comes before the packages of the system's Python.
    """
    inherited = {
        name: value for name, value in os.environ.items() if INHERITED.fullmatch(name) and not SECRET.search(name)
    }
    own = [str(Path(package.__path__[0]).resolve().parent) for package in (facegate_ensemble, facegate_client)]
    packages = dict.fromkeys([*own, sysconfig.get_paths()["purelib"]])
    changed = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(packages),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**MALLOC, **PRIVATE, **inherited, **changed}
