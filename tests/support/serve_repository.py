"""Serves the repository, with the inferer and on the ports of its command line, as `facegate serve` does its own."""

import sys
from pathlib import Path

from facegate.cli.console import one_line
from facegate.serve.supervisor import Supervisor
from facegate.serve.triton import Settings

repository, inferer, grpc, http, metrics = sys.argv[1:]
with one_line():
    Supervisor(
        Settings(
            repository=Path(repository),
            backend="onnxruntime",
            inferer=inferer,
            host="127.0.0.1",
            grpc_port=int(grpc),
            http_port=int(http),
            metrics_port=int(metrics),
            admin_key="not a secret: a test's",
        )
    ).run()
