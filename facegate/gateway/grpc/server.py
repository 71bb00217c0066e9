"""The gRPC server: FaceService, LocalAI's wire, health and reflection, on one port."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from facegate.errors import ServeError
from facegate.gateway.door.health import Health
from facegate.gateway.faces import FaceGateway
from facegate.gateway.grpc.service import FaceService
from facegate.gateway.localai import backend_pb2, backend_pb2_grpc
from facegate.gateway.localai.servicer import Backend
from facegate_client.service import face_service_pb2, face_service_pb2_grpc

SERVICES: tuple[str, ...] = (
    face_service_pb2.DESCRIPTOR.services_by_name["FaceService"].full_name,
    backend_pb2.DESCRIPTOR.services_by_name["Backend"].full_name,
)
"""What this server is for, as health checks name it."""

MOST_CALLS = 512
"""At a time, waiting ones included: more are RESOURCE_EXHAUSTED before their message is read."""


def make_server(
    faces: FaceGateway,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    health: Health,
    *,
    timeout_s: float,
    max_message_bytes: int,
) -> grpc.aio.Server:
    """A server that is neither bound nor started. It belongs to the event loop that it is made in.

    `timeout_s` is the longest that a caller waits for an answer.
    """
    server = grpc.aio.server(
        interceptors=interceptors, options=_options(max_message_bytes), maximum_concurrent_rpcs=MOST_CALLS
    )
    face_service_pb2_grpc.add_FaceServiceServicer_to_server(  # type: ignore[no-untyped-call]
        FaceService(faces, timeout_s), server
    )
    backend_pb2_grpc.add_BackendServicer_to_server(  # type: ignore[no-untyped-call]
        Backend(faces, health, timeout_s), server
    )
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    """Listen on host:port, port 0 for any; returns the port. Raises ServeError where that cannot be."""
    try:
        if credentials is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise ServeError(
            f"cannot listen on {address} for gRPC: is the address this machine's? Stop what uses the port, or choose "
            "another with --grpc-port"
        ) from error


def _options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # a second gateway on the port is an error, and does not get half of the calls
        # Clients may ping every 10 s, idle or not; gRPC's own limit, 300 s, would cut their connections off.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A client that has gone without a word is noticed: its calls are cancelled, and its connection is given back.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
