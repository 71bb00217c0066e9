"""A table on the terminal that says how the cameras are doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from facegate.cameras.stats import VERDICTS, CameraSnapshot

_A_SECOND = 2  # refreshes
_COUNTS = ("frames\n/s", "p50\nms", "p95\nms", "read", "dropped", "failed", "tracks", "real", "fake", "not\nchecked")
_STATES = {"starting": "yellow", "running": "green", "lost": "red", "ended": "dim", "failed": "bold red"}


class LiveTable:
    """Drawn on stderr while the context lasts, twice a second, by a thread; what is there at the end stays.

    `snapshots` is called by that thread. Lines that others write to `sys.stderr` meanwhile come out above the table.
    Nothing is drawn where stderr is no terminal.
    """

    def __init__(self, snapshots: Callable[[], Sequence[CameraSnapshot]]) -> None:
        console = Console(stderr=True)
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(
                get_renderable=lambda: table(snapshots()),
                console=console,
                refresh_per_second=_A_SECOND,
                redirect_stdout=False,  # results go there
            )

    def __enter__(self) -> LiveTable:
        if self._live:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()


def table(cameras: Sequence[CameraSnapshot]) -> Table:
    """One row a camera, and of several their sum first, where a small terminal still shows it.

    The rate and the times are of the last ten seconds, all else since the start; a track counts by its last verdict.
    Where no face was judged yet, none is counted as real or fake, not even 0.
    """
    drawn = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    drawn.add_column("camera")
    drawn.add_column("state", no_wrap=True)
    for name in _COUNTS:
        drawn.add_column(name, justify="right", no_wrap=True)
    if len(cameras) > 1:
        drawn.add_row(*_sum(cameras))
    for camera in cameras:
        drawn.add_row(*_row(camera))
    return drawn


def _row(camera: CameraSnapshot) -> list[Text | str]:
    latency = camera.latency
    return [
        Text(camera.camera, no_wrap=True, overflow="ellipsis"),  # gives way to numbers
        Text(camera.state, _STATES[camera.state]),
        f"{latency.per_second:.1f}",
        _milliseconds(latency.p50_s),
        _milliseconds(latency.p95_s),
        *_counts([camera]),
    ]


def _sum(cameras: Sequence[CameraSnapshot]) -> list[Text | str]:
    """Quantiles do not add up: they are the rows' alone."""
    return [
        Text(f"all {len(cameras)}", "bold"),
        f"{sum(camera.state == 'running' for camera in cameras)} up",
        f"{sum(camera.latency.per_second for camera in cameras):.1f}",
        "",
        "",
        *_counts(cameras),
    ]


def _counts(cameras: Sequence[CameraSnapshot]) -> Iterator[str]:
    """Of all `cameras` together."""
    for name in ("read", "dropped", "failed"):
        yield str(sum(getattr(camera, name) for camera in cameras))
    tracks = {word: sum(camera.tracks_so_far[word] for camera in cameras) for word in VERDICTS}
    judged = any(camera.judgements["real"] or camera.judgements["fake"] for camera in cameras)
    yield str(sum(tracks.values()))
    for word in VERDICTS:
        yield str(tracks[word]) if judged or word == "not_checked" else "-"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f}"
