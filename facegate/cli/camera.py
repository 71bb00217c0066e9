"""The command `facegate camera`. The packages of the extra `camera` are imported when it runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegate.cameras.mailbox import Mode
from facegate.cameras.transports.carrier import CarrierError, CarrierKind
from facegate.cli.console import packages_for
from facegate.errors import CommandError
from facegate_client.async_client import AsyncFaceClient
from facegate_client.cli.options import (
    ERROR,
    AntiSpoofing,
    HowReached,
    Local,
    Protocol,
    TlsCa,
    TlsCertificate,
    TlsKey,
    Url,
    errors_in_a_line,
    log_on_stderr,
)
from facegate_client.contract import ADMIN_KEY
from facegate_client.errors import printable
from facegate_client.transport.base import Tls

PROGRAM = "facegate"
_SIGNALS = signal.SIGINT, signal.SIGTERM
AGAIN_S = 1.0
"""Who signals a process and its group, as timeout(1) does, means it once."""

if TYPE_CHECKING:
    from facegate.cameras.run import Feed, Settings
    from facegate.cameras.sources.spec import SourceSpec


def camera(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="A video file, a folder of pictures, /dev/videoN, an rtsp:// or http:// address, or synthetic:FOLDER. "
            "Options may follow: 'SOURCE#name=door&rotate=90&roi=X,Y,WIDTH,HEIGHT&fps=5&mode=latest'.",
        ),
    ],
    watch: Annotated[
        list[Path] | None,
        typer.Option(metavar="PHOTO", help="Tell when this person appears; a file or a folder, and again for more."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Cosine distance, in (0, 2], below which a face is a watched person's.")
    ] = None,
    anti_spoofing: AntiSpoofing = False,
    min_score: Annotated[float | None, typer.Option(help="Leave out faces detected with less than this, 0-1.")] = None,
    judge_every: Annotated[
        float, typer.Option(min=0.0, help="Seconds after which a face is judged anew; 0: in every frame.")
    ] = 2.0,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="latest drops old frames and never lags; every drops none and waits.",
            show_default="latest for live sources, every for files",
        ),
    ] = None,
    in_flight: Annotated[int, typer.Option(min=1, max=4, help="Frames of a camera with the server at once.")] = 2,
    transport: Annotated[
        CarrierKind,
        typer.Option(help="How frames travel; auto: shared memory or raw on this machine, JPEG to another."),
    ] = CarrierKind.auto,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write results as JSON Lines; - is stdout.",
            show_default="- unless on a terminal",
        ),
    ] = None,
    video: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write an annotated video of each camera there.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve Prometheus metrics on this port of 127.0.0.1.")
    ] = None,
    url: Url = None,
    protocol: HowReached = Protocol.grpc,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds within which a frame must be answered.")] = 5.0,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    local: Local = False,
) -> None:
    """Which faces do cameras see, and whose are they? Runs until its sources end, or Ctrl-C.

    Exit status 0; 2: an error, or a source that failed while the others went on.
    """
    with errors_in_a_line(known=(CommandError,), program=PROGRAM), packages_for("camera"):
        from facegate.cameras.frame import SourceError
        from facegate.cameras.run import Settings
        from facegate.cameras.sinks.output import OutputError, PipeClosed
        from facegate.cameras.watch.people import WatchError

    with errors_in_a_line(known=(CarrierError, SourceError, OutputError, WatchError), program=PROGRAM):
        settings = Settings(
            anti_spoofing=anti_spoofing,
            min_score=min_score,
            judge_every_s=judge_every,
            in_flight=in_flight,
            carrier=transport,
            admin_key=os.environ.get(ADMIN_KEY) or None,  # no option: a command line is visible to others
            photos=watch or (),
            threshold=threshold,
            videos=video,
        )
        if out is None and not sys.stdout.isatty():
            out = "-"
        if out == "" or Path() in settings.photos:
            raise ValueError("--out and --watch: expected a name, got an empty one")
        new_client = partial(
            AsyncFaceClient,
            url,
            protocol=protocol.value,
            timeout_s=timeout,
            tls=Tls(tls_ca, tls_certificate, tls_key) if tls_ca or tls_certificate or tls_key else None,
            fallback="local" if local else None,
        )
        try:
            well = asyncio.run(_run(new_client, sources, mode, settings, out, metrics_port))
        except PipeClosed:
            return
    if not well:
        raise typer.Exit(ERROR)


async def _run(
    new_client: Callable[[], AsyncFaceClient],
    sources: Sequence[str],
    mode: Mode | None,
    settings: Settings,
    out: str | None,
    metrics_port: int | None,
) -> bool:
    import cv2

    from facegate.cameras.run import Run
    from facegate.cameras.sinks.exporter import Exporter
    from facegate.cameras.sinks.json_lines import JsonLines
    from facegate.cameras.sinks.live_table import LiveTable

    cv2.setNumThreads(1)  # each camera has a thread of its own; OpenCV's only double the processor time
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(new_client())
        specs = _specs(sources)
        if out is not None:
            _check_apart(out, specs)
        feeds = await _feeds(specs, mode, client)
        if settings.videos is not None:
            _make_folder(settings.videos)
        outputs = [] if out is None else [JsonLines(out)]
        run = Run(client, feeds, settings, outputs, say=_say)
        if metrics_port is not None:
            exporter = Exporter(run.snapshots, metrics_port)
            stack.callback(exporter.close)
            _say(f"metrics at http://127.0.0.1:{exporter.port}/metrics")
        if out != "-" or not sys.stdout.isatty():
            stack.enter_context(LiveTable(run.snapshots))
        stack.enter_context(log_on_stderr(PROGRAM))
        stack.enter_context(_stopped_by_signals(run.stop))
        for output in outputs:
            stack.push_async_callback(output.close)
        return await run.run()


def _specs(sources: Sequence[str]) -> list[SourceSpec]:
    """Raises ValueError on a source that cannot be understood."""
    from facegate.cameras.sources.spec import parse

    specs = [parse(source) for source in sources]
    return [
        replace(spec, name=name) for spec, name in zip(specs, _distinct([spec.name for spec in specs]), strict=True)
    ]


def _check_apart(out: str, specs: Sequence[SourceSpec]) -> None:
    """Raises ValueError where results would be written into a source."""
    for spec in specs:
        there = spec.kind != "stream" and os.path.exists(out) and os.path.exists(spec.address)
        if there and os.path.samefile(out, spec.address):
            raise ValueError(f"--out {out}: is a source; results would be written into it")


def _make_folder(folder: Path) -> None:
    from facegate.cameras.sinks.output import OutputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--video {folder}: cannot make this folder: {error.strerror}") from error


async def _feeds(specs: Sequence[SourceSpec], mode: Mode | None, client: AsyncFaceClient) -> list[Feed]:
    """Raises SourceError, ValueError and FaceGateError where a synthetic source cannot be made."""
    from facegate.cameras.run import Feed, Opener
    from facegate.cameras.sources.open_source import open_source
    from facegate.cameras.synthetic.source import synthetic_feed

    feeds = []
    for spec in specs:
        opener: Opener = partial(open_source, spec)
        if spec.kind == "synthetic":
            opener = await synthetic_feed(spec, client, _say)
        feeds.append(Feed(spec.name, opener, spec.mode or mode))
    return feeds


def _distinct(names: Sequence[str]) -> list[str]:
    """The second camera of a name is NAME-2, unless another one is called so."""
    distinct: list[str] = []
    for name in names:
        others = (f"{name}-{number}" for number in count(2))
        free = (each for each in others if each not in names and each not in distinct)
        distinct.append(name if name not in distinct else next(free))
    return distinct


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM stops the run in order; one that comes AGAIN_S later ends the program at once."""
    loop = asyncio.get_running_loop()
    stopped_at: list[float] = []

    def heard(number: int) -> None:
        if not stopped_at:
            stopped_at.append(loop.time())
            _say("stopping; what is with the server is waited for")
            stop()
        elif loop.time() - stopped_at[0] > AGAIN_S:
            loop.remove_signal_handler(number)
            os.kill(os.getpid(), number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, heard, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _say(line: str) -> None:
    sys.stderr.write(f"{PROGRAM}: {printable(line, joiners=True)}\n")
