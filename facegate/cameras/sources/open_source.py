"""The source for what a SOURCE says."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from facegate.cameras.frame import Source
from facegate.cameras.sources.decoded import pyav
from facegate.cameras.sources.folder import Folder
from facegate.cameras.sources.live import LiveSource
from facegate.cameras.sources.notices import SourceNotices
from facegate.cameras.sources.spec import SourceSpec
from facegate.cameras.sources.tls import verifies
from facegate.cameras.sources.video_file import VideoFile

_FILE_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"})


def open_source(spec: SourceSpec, notices: SourceNotices) -> Source:
    """The source, which opens nothing before its `frames` are read. `spec.kind` is not "synthetic".

    A URL of HTTP is a file's where its path ends like a video file's, and otherwise live. Warns where the certificate
    of an rtsps source is not verified. Raises ImportError where a video needs PyAV and it is missing.
    """
    if spec.kind == "path" and os.path.isdir(spec.address):  # False too where looking fails: VideoFile says why
        return Folder(spec, notices)
    pyav()
    if spec.scheme == "rtsps" and not verifies(spec) and spec.tls_verify is None:
        notices.warned("its certificate is not verified: give its authority with #tls_ca=FILE, or #tls_verify=false")
    if spec.kind == "path":
        return VideoFile(spec, notices)
    suffix = PurePosixPath(urlsplit(spec.address).path).suffix.lower() if spec.kind == "stream" else ""
    if spec.scheme.startswith("http") and suffix in _FILE_SUFFIXES:
        return VideoFile(spec, notices)
    return LiveSource(spec, notices)
