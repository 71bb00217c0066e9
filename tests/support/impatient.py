"""A server whose watcher asks it often, for tests of what a watcher notices."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from facegate.cli.running import free_ports
from support.serving import Server, running


def serving_impatiently(log: Path, repository: Path, inferer: str) -> AbstractContextManager[Server]:
    ports = free_ports(3)
    script = Path(__file__).with_name("serve_impatiently.py")
    return running(log, [sys.executable, str(script), str(repository), inferer, *map(str, ports)], ports)
