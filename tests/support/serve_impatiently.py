"""Serves as serve_repository.py does, but its watcher asks often and waits briefly."""

import runpy
from pathlib import Path

import server.canary
import server.supervisor

server.supervisor.CANARY_SECONDS = 0.3
server.canary.TIMEOUT_SECONDS = 5.0  # an answer of a full server may take a while
runpy.run_path(str(Path(__file__).with_name("serve_repository.py")), run_name="__main__")
