"""Messages and errors of the commands on the terminal, and the packages that a command needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from facegate.errors import CommandError
from facegate_client.errors import FaceGateError
from facegate_ensemble.runtime.inference_error import NetFault

OWN = ("facegate", "facegate_ensemble", "facegate_client")
"""A missing module of these is an internal error: installing a package does not help."""


@contextmanager
def one_line() -> Iterator[None]:
    """Prints an error that a person can act on as one line, without a traceback; exit status 1."""
    try:
        yield
    except (CommandError, FaceGateError, NetFault, OSError) as error:
        print(f"facegate: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("facegate: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


@contextmanager
def packages_for(extra: str) -> Iterator[None]:
    """Imports what an extra of this package installs. Raises CommandError, which names it, where it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OWN:
            raise
        raise CommandError(f"this command needs more packages ({error}): pip install 'facegate[{extra}]'") from error


def say(text: str) -> None:
    """Prints a line for the person at the terminal."""
    print(f"facegate: {text}", file=sys.stderr, flush=True)
