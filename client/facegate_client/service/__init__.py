"""FaceService, the gateway's own interface over gRPC, and its clients (extra `gateway`)."""

from __future__ import annotations

from facegate_client.service.async_client import AsyncFaceServiceClient
from facegate_client.service.client import FaceServiceClient
from facegate_client.service.results import Embedding, Enrolment, Identification, Match, Person

__all__ = [
    "AsyncFaceServiceClient",
    "Embedding",
    "Enrolment",
    "FaceServiceClient",
    "Identification",
    "Match",
    "Person",
]
