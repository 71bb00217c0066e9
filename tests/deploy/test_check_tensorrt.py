"""The image's build ends where TensorRT's module and libraries are of different versions."""

from __future__ import annotations

import importlib.metadata
import runpy
from pathlib import Path

import pytest

from support.missing import cannot_be_had
from support.serving import ROOT

CHECK = runpy.run_path(str(ROOT / "deploy" / "check_tensorrt.py"))
RTX = "tensorrt-rtx-cu13-libs"


def test_a_library_says_of_which_version_it_is(request):
    """TensorRT for RTX's answers the same calls, and is to be had without a GPU."""
    try:
        files = importlib.metadata.files(RTX)
    except importlib.metadata.PackageNotFoundError:
        cannot_be_had(request.config, "versions of TensorRT's libraries are not read: run `make tensorrt-rtx`")
        raise
    library = next(Path(file.locate()) for file in files or [] if file.name.startswith("libtensorrt_rtx.so"))
    assert CHECK["library_version"](str(library)) == importlib.metadata.version(RTX)


def test_an_image_without_the_library_is_refused_in_a_line_with_the_remedy(monkeypatch):
    monkeypatch.setitem(CHECK["check"].__globals__, "version", lambda package: "77.1.0.3")
    with pytest.raises(SystemExit) as refusal:
        CHECK["check"]()
    said = str(refusal.value)
    assert said.startswith("TensorRT's module, 77.1.0.3, cannot be loaded in this image (libnvinfer.so.77")
    assert "build argument TENSORRT" in said
    assert "\n" not in said
