"""What a caller can catch when the server refuses, is not there, is late, or answers what it must not."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import numpy as np
import pytest

from facegate_client import (
    BadImage,
    Code,
    DeadlineExceeded,
    FaceClient,
    FaceGateError,
    InvalidRequest,
    LivenessUnavailable,
    NoFace,
    Overloaded,
    ServerFault,
    Unreachable,
)
from support.fake_triton import Arrays, Call, FakeTriton, Refusal, analyze_answer, model, serve, texts, verify_answer

IMAGE = b"an image"
NewClient = Callable[..., Any]
S = grpc.StatusCode


@pytest.mark.parametrize(
    ("grpc_code", "http_status", "message", "kind", "code"),
    [
        (S.INVALID_ARGUMENT, 400, "INVALID_ARGUMENT: IMAGE_1: truncated", BadImage, Code.INVALID_ARGUMENT),
        (S.INVALID_ARGUMENT, 400, "INVALID_ARGUMENT: threshold: out of (0, 2]", InvalidRequest, Code.INVALID_ARGUMENT),
        (S.NOT_FOUND, 404, "NOT_FOUND: no face in image 2", NoFace, Code.NOT_FOUND),
        (S.UNIMPLEMENTED, 501, "FAILED_PRECONDITION: not served", LivenessUnavailable, Code.FAILED_PRECONDITION),
        (S.UNAVAILABLE, 503, "RESOURCE_EXHAUSTED: no permit", Overloaded, Code.RESOURCE_EXHAUSTED),
        (S.INTERNAL, 500, "INTERNAL: a fault", ServerFault, Code.INTERNAL),
        (S.UNAVAILABLE, 503, "model 'face_verify' has no available versions", Unreachable, None),
        (S.NOT_FOUND, 404, "Request for unknown model: 'face_verify' is not found", Unreachable, None),
        (S.CANCELLED, 502, "CANCELLED", Unreachable, None),
        (S.INVALID_ARGUMENT, 400, "unexpected datatype", InvalidRequest, Code.INVALID_ARGUMENT),
    ],
)
def test_each_refusal_has_its_exception(
    triton: FakeTriton,
    client: FaceClient,
    grpc_code: S,
    http_status: int,
    message: str,
    kind: type[FaceGateError],
    code: Code | None,
) -> None:
    def refuse(call: Call) -> Arrays:
        raise Refusal(grpc_code, http_status, message)

    triton.answer = refuse
    with pytest.raises(FaceGateError) as caught:
        client.verify(IMAGE, IMAGE)
    assert type(caught.value) is kind
    assert caught.value.code is code
    assert message.removeprefix(f"{code.value if code else ''}: ") in str(caught.value)
    if kind is NoFace:
        assert caught.value.image == 2  # type: ignore[attr-defined]


def lacks(name: str) -> Arrays:
    return verify_answer(liveness=(True, 0.9, True, 0.9), **{name: None})


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (verify_answer(), "lacks IS_REAL_1"),
        (lacks("IS_REAL_1"), "lacks IS_REAL_1"),
        (lacks("ANTISPOOF_SCORE_2"), "lacks ANTISPOOF_SCORE_2"),
        (lacks("DISTANCE"), "lacks DISTANCE"),
        (verify_answer(liveness=(True, 0.9, False, 0.1)), "verified although the face of image 2 is not live"),
        (verify_answer(liveness=(True, np.nan, True, 0.9)), "antispoof_score_1"),
        (verify_answer(liveness=(True, 0.9, True, 0.9), DISTANCE=np.array([np.nan], np.float32)), "finite"),
        (verify_answer(liveness=(True, 0.9, True, 0.9), DISTANCE=np.array([0.9], np.float32)), "above the threshold"),
        (verify_answer(liveness=(True, 0.9, True, 0.9), IS_REAL_1=np.array([0.9], np.float32)), "expected bool"),
        (verify_answer(liveness=(True, 0.9, True, 0.9), VERIFIED=np.array([True, True])), r"VERIFIED is bool \[2\]"),
        (
            verify_answer(liveness=(True, 0.9, True, 0.9), BOX_1=np.zeros((1, 4), np.float32)),
            r"BOX_1 is float32 \[1, 4\]",
        ),
        ({}, "lacks"),
    ],
)
def test_a_checked_verification_is_sound_or_an_error(
    triton: FakeTriton, client: FaceClient, answer: Arrays, says: str
) -> None:
    triton.answer = lambda call: answer
    with pytest.raises(ServerFault, match=says):
        client.verify(IMAGE, IMAGE, anti_spoofing=True)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (analyze_answer(2), "lacks IS_REAL"),
        (analyze_answer(0), "lacks IS_REAL"),
        (analyze_answer(2, liveness=True, IS_REAL=np.array([True])), r"IS_REAL is bool \[1\], expected bool \[2\]"),
        (analyze_answer(2, liveness=True, embeddings=False), "lacks EMBEDDINGS"),
        (analyze_answer(2, liveness=True, LANDMARKS=np.zeros((2, 10), np.float32)), "LANDMARKS"),
        (analyze_answer(2, liveness=True, SCORES=np.array([2, 1], np.float32)), "score: expected a number in 0-1"),
        (analyze_answer(1, liveness=True, EMBEDDINGS=np.full((1, 8), np.nan, np.float32)), "embedding"),
        (analyze_answer(1, liveness=True, BOXES=np.full((1, 4), np.inf, np.float32)), "box"),
    ],
)
def test_an_analysis_is_sound_or_an_error(triton: FakeTriton, client: FaceClient, answer: Arrays, says: str) -> None:
    triton.answer = lambda call: answer
    with pytest.raises(ServerFault, match=says):
        client.analyze(IMAGE, anti_spoofing=True)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        texts("not JSON"),
        texts("[]"),
        texts("{}", "{}"),
        np.array([b"\xff{}"], object),
        np.array([1.0], np.float32),
        model(pack=None),
        model(licence=3),
        model(commercial_use="yes"),
        model(commercial_use=1),
        model(digest=None),
    ],
)
def test_an_answer_says_which_nets_gave_it(triton: FakeTriton, client: FaceClient, broken: np.ndarray | None) -> None:
    triton.answer = lambda call: verify_answer(MODEL=broken)
    with pytest.raises(ServerFault, match="MODEL"):
        client.verify(IMAGE, IMAGE)
    triton.answer = lambda call: analyze_answer(1, MODEL=broken)
    with pytest.raises(ServerFault, match="MODEL"):
        client.analyze(IMAGE)


@pytest.mark.parametrize("errors", [None, [""], ["", "", ""]])
def test_an_analysis_of_given_faces_says_what_became_of_each(
    triton: FakeTriton, client: FaceClient, errors: list[str] | None
) -> None:
    triton.answer = lambda call: analyze_answer(2, errors=errors)
    with pytest.raises(ServerFault, match="FACE_ERRORS"):
        client.analyze(IMAGE, faces=np.zeros((2, 14), np.float32))


def test_an_embedding_of_zeros_that_nothing_explains_is_an_error(triton: FakeTriton, client: FaceClient) -> None:
    triton.answer = lambda call: analyze_answer(1, EMBEDDINGS=np.zeros((1, 8), np.float32))
    with pytest.raises(ServerFault, match="embedding"):
        client.analyze(IMAGE)


def test_bytes_that_do_not_add_up_are_an_error_of_ours(triton: FakeTriton, client: FaceClient) -> None:
    triton.raw["MODEL"] = b"\xff\xff\xff\x7f{"
    with pytest.raises(ServerFault, match="cannot be read"):
        client.verify(IMAGE, IMAGE)


def test_liveness_that_was_not_asked_for_is_an_error(triton: FakeTriton, client: FaceClient) -> None:
    triton.answer = lambda call: verify_answer(liveness=(True, 0.9, True, 0.9))
    with pytest.raises(ServerFault, match="not asked for"):
        client.verify(IMAGE, IMAGE)


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as held:  # bound and not listening: refused, and nobody else can have it
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_closed_port_is_unreachable_at_once(new_client: NewClient, protocol: str, closed_port: int) -> None:
    began = time.monotonic()
    with new_client(f"127.0.0.1:{closed_port}", protocol=protocol, timeout_s=5) as client:
        with pytest.raises(Unreachable, match=rf"127.0.0.1:{closed_port}.*refused") as caught:
            client.verify(IMAGE, IMAGE)
        assert caught.value.code is None
        assert not client.is_ready()
    assert time.monotonic() - began < 3


def test_a_silent_server_ends_at_the_deadline(new_client: NewClient, triton: FakeTriton) -> None:
    def never(call: Call) -> Arrays:
        triton.release.wait(10)
        return {}

    triton.answer = never
    began = time.monotonic()
    with new_client(triton.url, protocol=triton.protocol, timeout_s=0.3) as client:
        with pytest.raises(DeadlineExceeded, match=rf"no answer from {triton.url} within 0.3 s"):
            client.verify(IMAGE, IMAGE)
        assert 0.25 < time.monotonic() - began < 2
        triton.answer = lambda call: verify_answer()
        assert client.verify(IMAGE, IMAGE)  # the late answer is not taken for this one


def test_a_server_that_accepts_and_says_nothing_ends_at_the_deadline(new_client: NewClient, protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"127.0.0.1:{mute.getsockname()[1]}"
        with new_client(url, protocol=protocol, timeout_s=0.3) as client, pytest.raises(DeadlineExceeded):
            client.verify(IMAGE, IMAGE)


def test_a_client_outlives_a_restart_of_its_server(new_client: NewClient, protocol: str) -> None:
    with ExitStack() as closing:
        with serve(protocol, lambda call: verify_answer()) as first:
            client = closing.enter_context(new_client(first.url, protocol=protocol, timeout_s=5))
            assert client.verify(IMAGE, IMAGE)
        with pytest.raises(Unreachable):
            client.verify(IMAGE, IMAGE)
        with serve(protocol, lambda call: verify_answer(), port=int(first.url.split(":")[1])):
            began = time.monotonic()
            while not client.is_ready():  # gRPC's back-off
                assert time.monotonic() - began < 4
                time.sleep(0.02)
            assert client.verify(IMAGE, IMAGE)


def test_a_closed_client_says_so(client: FaceClient) -> None:
    client.close()
    client.close()
    with pytest.raises(ValueError, match="closed"):
        client.verify(IMAGE, IMAGE)
    with pytest.raises(ValueError, match="closed"):
        client.is_ready()


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_positive_number(new_client: NewClient, timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        new_client(timeout_s=timeout_s)


@pytest.mark.parametrize(("url", "protocol"), [("http://localhost:8000", "http"), ("localhost:8001", "GRPC")])
def test_a_wrong_address_or_protocol_is_named(new_client: NewClient, url: str, protocol: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        new_client(url, protocol=protocol)  # type: ignore[arg-type]


@pytest.mark.parametrize(("protocol", "url"), [("grpc", "localhost:8001"), ("http", "localhost:8000")])
def test_each_protocol_has_its_usual_port(new_client: NewClient, protocol: str, url: str) -> None:
    with new_client(protocol=protocol) as client:  # type: ignore[arg-type]
        assert client.url == url


# HTTP answers byte by byte: what no HTTP library of a server would send.


def _raw_server(*answers: bytes, drip_s: float = 0.0, reset: bool = False) -> tuple[socket.socket, threading.Thread]:
    """Accepts once for each answer, reads a request's beginning, sends the answer and hangs up."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for answer in answers:
            peer, _ = listening.accept()
            with peer:
                peer.recv(65536)
                try:
                    for byte in answer if drip_s else ():
                        peer.send(bytes([byte]))
                        time.sleep(drip_s)
                    if not drip_s:
                        peer.sendall(answer)
                except OSError:
                    return
                if reset:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return listening, thread


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", Unreachable),
        (b"SSH-2.0-OpenSSH\r\n", Unreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", Unreachable),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", Unreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", ServerFault),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops", ServerFault),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", ServerFault),
        (b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\n[]", FaceGateError),
    ],
)
def test_a_broken_http_answer_is_an_error_of_ours(
    new_client: NewClient, answer: bytes, kind: type[FaceGateError]
) -> None:
    listening, thread = _raw_server(answer)
    with listening:
        url = f"127.0.0.1:{listening.getsockname()[1]}"
        with new_client(url, protocol="http", timeout_s=5) as client, pytest.raises(FaceGateError) as caught:
            client.verify(IMAGE, IMAGE)
        thread.join(5)
    assert type(caught.value) is kind


def test_a_dripping_http_answer_ends_at_the_deadline(new_client: NewClient) -> None:
    listening, _ = _raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b" " * 100, drip_s=0.01)
    began = time.monotonic()
    with listening:
        url = f"127.0.0.1:{listening.getsockname()[1]}"
        with new_client(url, protocol="http", timeout_s=0.6) as client, pytest.raises(DeadlineExceeded):
            client.verify(IMAGE, IMAGE)
    assert time.monotonic() - began < 1.5


def test_an_idle_connection_that_the_server_closed_is_replaced(new_client: NewClient) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    listening, thread = _raw_server(ok, ok, ok, ok)
    with listening:
        url = f"127.0.0.1:{listening.getsockname()[1]}"
        with new_client(url, protocol="http", timeout_s=5) as client:
            assert client.is_ready()  # two requests; the server hangs up after each without having said so
            assert client.is_ready()
    thread.join(5)
    assert not thread.is_alive()
