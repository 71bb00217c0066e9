"""Where the templates of the model repository are, and where what is fetched and built is kept."""

from __future__ import annotations

import os
from pathlib import Path

from facegate import PACKAGE

TEMPLATES = PACKAGE / "model_repository"


def _build() -> Path:
    """Returns build/ of the checkout that this package runs from, or a folder of the user's cache once installed."""
    checkout = PACKAGE.parent
    if (checkout / "build_engines.py").is_file():
        return checkout / "build"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facegate"


BUILD = _build()
FETCHED = BUILD / "fetched"
REPOSITORIES = BUILD / "repository"
RESIZED = BUILD / "resized"
ENGINES = BUILD / "engines"
