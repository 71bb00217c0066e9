"""What the commands of `faceclient` have in common: how the server is reached, and how an error is told."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from facegate_client.contract import SeveralFaces
from facegate_client.errors import (
    DeadlineExceeded,
    FaceGateError,
    NoFace,
    NoSuchPerson,
    NotAuthenticated,
    Overloaded,
    ServerFault,
    Unreachable,
    printable,
)

PROGRAM = "faceclient"
ERROR, INTERRUPTED = 2, 130


class Protocol(str, Enum):
    """How to reach the server."""

    grpc = "grpc"
    http = "http"


_ADVICE: list[tuple[type[Exception], str]] = [
    (NoFace, "use a picture that shows the face larger or sharper"),
    (NoSuchPerson, "'faceclient people list' says who is remembered"),
    (NotAuthenticated, "put yours into FACEGATE_API_KEY"),
    (Overloaded, "try again shortly"),
    (DeadlineExceeded, "give it more with --timeout, or look at the server's load"),
    (ServerFault, "the server's log has the cause"),
]

AntiSpoofing = Annotated[bool, typer.Option("--anti-spoofing", help="Check that faces are live; a fake one vetoes.")]
WhichFace = Annotated[
    SeveralFaces | None,
    typer.Option(
        "--several-faces",
        help="Of an image with several faces: take the best-detected, take the largest, or refuse the image.",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="FACEGATE_URL", help="host:port of the server.", show_default="localhost:8001, with http localhost:8000"
    ),
]
HowReached = Annotated[Protocol, typer.Option(envvar="FACEGATE_PROTOCOL", help="How to reach it.")]
TlsCa = Annotated[
    Path | None, typer.Option("--tls-ca", help="Speak TLS over gRPC; this authority (PEM) vouches for the server.")
]
TlsCertificate = Annotated[Path | None, typer.Option("--tls-certificate", help="This client's own certificate (PEM).")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="Its key (PEM).")]
Local = Annotated[
    bool,
    typer.Option("--local", envvar="FACEGATE_LOCAL", help="Where no server answers, run the nets in this process."),
]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds within which the answer must be there.")]


@contextmanager
def log_on_stderr(program: str = PROGRAM) -> Iterator[None]:
    """The client's log, a line each: one says so when this process answers instead of the server."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable(f"{program}: %(message)s"))
    logger = logging.getLogger("facegate_client")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Printable(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        return printable(super().formatMessage(record))


@contextmanager
def errors_in_a_line(
    images: Sequence[Path] = (),
    known: tuple[type[Exception], ...] = (),
    unreachable: str = "start one with 'make serve', or name it with --url and --protocol",
    program: str = PROGRAM,
) -> Iterator[None]:
    """Whatever goes wrong inside ends the program with status 2 and a line: what, where, what to do.

    A NoFace is of one of `images`. An error that is not the client's, the system's or one of `known` says its kind.
    `unreachable` is what to do where no server answers.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        where = f" ({images[error.image - 1]})" if isinstance(error, NoFace) and error.image else ""
        advices: list[tuple[type[Exception], str]] = [*_ADVICE, (Unreachable, unreachable)]
        advice = next((f"; {advice}" for kind, advice in advices if isinstance(error, kind)), "")
        expected = isinstance(error, (FaceGateError, OSError, ValueError, ImportError, *known))
        kind = "" if expected else f"unexpected {type(error).__name__}: "
        line = " ".join(f"{program}: {kind}{error}{where}{advice}".split())
        sys.stderr.write(f"{printable(line, joiners=True)}\n")
        raise typer.Exit(ERROR) from None
