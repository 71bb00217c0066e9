"""The cameras' counts and times as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from facegate.cameras.latency import BOUNDS
from facegate.cameras.sinks.output import OutputError
from facegate.cameras.stats import CameraSnapshot
from facegate_client import __version__

ADDRESS = "127.0.0.1"

_LE = [str(bound) for bound in BOUNDS] + ["+Inf"]


class Exporter:
    """Serves `/metrics` over HTTP to this machine, from a thread, until `close`. Raises OutputError where it cannot.

    `snapshots` is called by that thread whenever somebody asks. Port 0 takes a free one; `port` is the one taken.
    """

    def __init__(self, snapshots: Callable[[], Sequence[CameraSnapshot]], port: int) -> None:
        registry = CollectorRegistry(auto_describe=True)
        registry.register(CameraCollector(snapshots))
        try:
            self._server, self._thread = start_http_server(port, ADDRESS, registry)
        except (OSError, OverflowError) as error:  # OverflowError: a port above 65535
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"cannot serve metrics at {ADDRESS}:{port}: {reason}") from error
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stops, any number of times."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class CameraCollector(Collector):
    """All metrics, made of the snapshots when asked for: nothing is counted twice."""

    def __init__(self, snapshots: Callable[[], Sequence[CameraSnapshot]]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterable[Metric]:
        """See docs/camera.md."""
        cameras = self._snapshots()
        build = GaugeMetricFamily("facegate_build_info", "The version of FaceGate, always 1", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield _counter(cameras, "frames", "Frames, by what became of them", "outcome", _frames)
        yield _counter(cameras, "failures", "Frames without a result, by error", "error", lambda c: c.failures)
        yield _counter(cameras, "faces", "Faces in answered frames", "", lambda c: {"": c.detections})
        yield _counter(cameras, "judgements", "Faces judged, by verdict", "verdict", _judgements)
        yield _counter(cameras, "appearances", "Appearance lines", "verified", _appearances)
        yield _counter(cameras, "outages", "How often the source was lost", "", lambda c: {"": c.outages})
        yield _tracks(cameras)
        yield _up(cameras)
        yield _latency(cameras)


def _counter(
    cameras: Sequence[CameraSnapshot],
    name: str,
    what: str,
    label: str,
    counts: Callable[[CameraSnapshot], Mapping[str, int]],
) -> Metric:
    """`counts` are by the value of `label`."""
    labels = ["camera", label] if label else ["camera"]
    family = CounterMetricFamily(f"facegate_camera_{name}", what, labels=labels)
    for camera in cameras:
        for value, count in counts(camera).items():
            family.add_metric([camera.camera, value][: len(labels)], count)
    return family


def _frames(camera: CameraSnapshot) -> dict[str, int]:
    return {outcome: getattr(camera, outcome) for outcome in ("read", "sent", "dropped", "answered", "failed")}


def _judgements(camera: CameraSnapshot) -> dict[str, int]:
    return {str(verdict): count for verdict, count in camera.judgements.items()}


def _appearances(camera: CameraSnapshot) -> dict[str, int]:
    return {str(verified).lower(): count for verified, count in camera.appearances.items()}


def _tracks(cameras: Sequence[CameraSnapshot]) -> Metric:
    family = GaugeMetricFamily(
        "facegate_camera_tracks", "Faces of the latest frame, by their track's verdict", labels=["camera", "verdict"]
    )
    for camera in cameras:
        for verdict, count in camera.tracks.items():
            family.add_metric([camera.camera, verdict], count)
    return family


def _up(cameras: Sequence[CameraSnapshot]) -> Metric:
    family = GaugeMetricFamily("facegate_camera_up", "1 while the source gives frames", labels=["camera"])
    for camera in cameras:
        family.add_metric([camera.camera], camera.state == "running")
    return family


def _latency(cameras: Sequence[CameraSnapshot]) -> Metric:
    family = HistogramMetricFamily(
        "facegate_camera_latency_seconds", "From reading a frame to its result", labels=["camera"]
    )
    for camera in cameras:
        buckets = list(zip(_LE, map(float, accumulate(camera.latency.buckets)), strict=True))
        family.add_metric([camera.camera], buckets, camera.latency.total_s)
    return family
