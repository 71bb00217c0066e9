"""How `facegate` speaks to the person at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from facegate.build.checks.parity import ParityError
from facegate.build.errors import EngineError
from facegate.build.graphs import GraphError
from facegate.build.weights.fetch import FetchError
from facegate.errors import ServeError
from facegate.packs.pack_file import PackError
from facegate_client import FaceGateError
from facegate_ensemble.runtime.inference_error import NetFault

FAULTS = (
    EngineError,
    FaceGateError,
    FetchError,
    GraphError,
    NetFault,
    OSError,
    PackError,
    ParityError,
    ServeError,
)
"""What a person can act on."""


@contextmanager
def one_line() -> Iterator[None]:
    """Errors that a person can act on, without a traceback; exit status 1."""
    try:
        yield
    except FAULTS as error:
        print(f"facegate: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("facegate: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(f"facegate: {text}", file=sys.stderr, flush=True)
