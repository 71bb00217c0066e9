"""Ends with status 1, and says why, unless TensorRT's Python module is of the version of the image's libraries."""

from __future__ import annotations

import ctypes
import sys
from importlib.metadata import version

PACKAGE = "tensorrt-cu13-bindings"
REMEDY = "set the build argument TENSORRT to the version of the image's libraries; `make lock` writes the lock for it"


def library_version(name: str) -> str:
    """Major, minor, patch and build of TensorRT's library in the file `name`. Raises OSError without one."""
    library = ctypes.CDLL(name)
    return ".".join(str(library[f"getInferLib{part}Version"]()) for part in ("Major", "Minor", "Patch", "Build"))


def release(name: str) -> list[str]:
    """Major, minor and patch: builds of one release read each other's engines."""
    return name.split(".")[:3]


def check() -> None:
    """Raises SystemExit with one line."""
    wanted = version(PACKAGE)
    try:
        found = library_version(f"libnvinfer.so.{release(wanted)[0]}")
        import tensorrt
    except (OSError, ImportError) as error:
        sys.exit(f"TensorRT's module, {wanted}, cannot be loaded in this image ({error}): {REMEDY}")
    if not release(found) == release(wanted) == release(tensorrt.__version__):
        sys.exit(f"TensorRT's module is {wanted}, and the image's libraries are {found}: {REMEDY}")


if __name__ == "__main__":
    check()
