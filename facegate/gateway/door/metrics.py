"""What the gateway counts, for Prometheus. Labels come from fixed sets, never from a request's own words."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from facegate_client import __version__
from facegate_ensemble.counts import DIFFERENT, FAKE, REAL, VERIFIED, VETOED

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Where times are told apart, in seconds: the ensemble's, and the longest that a request may take."""

BODY, TRITON, GALLERY = "body", "triton", "gallery"
"""A request's stages: reading it, waiting for Triton's answer, waiting for the gallery."""


class Metrics:
    """One gateway's own registry. Every series of a fixed set is there from the start, at 0."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge("facegate_build_info", "The version of FaceGate, always 1", ("version",), registry=registry)
        build.labels(__version__).set(1)
        self.requests = Counter(
            "facegate_gateway_requests", "Answered requests", ("wire", "method", "code"), registry=registry
        )
        self.seconds = Histogram(
            "facegate_gateway_request_seconds",
            "From a request's arrival to its answer",
            ("wire", "method"),
            buckets=BUCKETS,
            registry=registry,
        )
        self.stages = Histogram(
            "facegate_gateway_stage_seconds", "A request's stages", ("stage",), buckets=BUCKETS, registry=registry
        )
        self.messages = Counter(
            "facegate_gateway_stream_messages", "Messages that came in on streams", registry=registry
        )
        self.stream_errors = Counter(
            "facegate_gateway_stream_errors",
            "Messages on streams that were answered with an error",
            ("code",),
            registry=registry,
        )
        self.bytes_in = Counter("facegate_gateway_received_bytes", "Bytes of requests", ("wire",), registry=registry)
        self.liveness = Counter(
            "facegate_gateway_liveness", "Faces checked for liveness", ("verdict",), registry=registry
        )
        self.verifications = Counter(
            "facegate_gateway_verifications", "Verdicts on two faces", ("outcome",), registry=registry
        )
        self.in_flight = Gauge("facegate_gateway_requests_in_flight", "Requests under way", registry=registry)
        self.at_triton = Gauge("facegate_gateway_triton_in_flight", "Calls that Triton has", registry=registry)
        self.ready = Gauge("facegate_gateway_ready", "1 where requests can be answered", registry=registry)
        for stage in (BODY, TRITON, GALLERY):
            self.stages.labels(stage)
        for verdict in (REAL, FAKE):
            self.liveness.labels(verdict)
        for outcome in (VERIFIED, DIFFERENT, VETOED):
            self.verifications.labels(outcome)

    def text(self) -> bytes:
        """In Prometheus' own format."""
        return generate_latest(self._registry)
