"""A server that is easily full."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from support.changed_models import sealed
from support.serving import Server, serving_repository


def narrow_serving(repository: Path, folder: Path, places: int) -> AbstractContextManager[Server]:
    """One permit, and so many places to wait. `folder` is the server's own."""
    shutil.copytree(repository, folder / "repository")
    for config in (folder / "repository").glob("face_*/configs/onnxruntime.pbtxt"):
        text = config.read_text().replace('string_value: "auto"', 'string_value: "1"')
        config.write_text(text.replace('string_value: "64"', f'string_value: "{places}"'))
    sealed(folder / "repository")
    return serving_repository(folder / "log", folder / "repository")
