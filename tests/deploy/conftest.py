"""The container's files as Docker sees them, and the tools that judge them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.missing import cannot_be_had
from support.serving import ROOT

COMPOSE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    """Compose's ${NAME} and ${NAME:-default}, which are all that the file uses."""
    if isinstance(value, dict):
        return {key: interpolated(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, environment) for each in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: environment.get(match[1]) or match[2] or "", value)
    return value


@pytest.fixture(scope="session")
def composed(request):
    """The compose file, given the variables that a user has set."""
    if importlib.util.find_spec("ruamel") is None:
        cannot_be_had(request.config, "docker-compose.yml is not tested: the package ruamel.yaml is not installed")
    from ruamel.yaml import YAML

    loaded = YAML(typ="safe").load(COMPOSE)
    return lambda **environment: interpolated(loaded, environment)


@pytest.fixture(scope="session")
def services(composed) -> dict[str, Any]:
    """The services as they are when nothing is set."""
    return dict(composed()["services"])


@pytest.fixture(scope="session")
def tool(request):
    """The path of a program that a package of the environment brings."""

    def found(name: str) -> str:
        folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        path = shutil.which(name, path=folders)
        if path is None:
            cannot_be_had(request.config, f"the container's files are not judged by {name}, which is not installed")
            raise AssertionError  # not reached
        return path

    return found
