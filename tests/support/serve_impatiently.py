"""Serves as serve_repository.py does, but its watcher asks often."""

import runpy
from pathlib import Path

import facegate.serve.supervisor

facegate.serve.supervisor.CANARY_SECONDS = 0.3
runpy.run_path(str(Path(__file__).with_name("serve_repository.py")), run_name="__main__")
