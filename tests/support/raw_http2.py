"""A gRPC call written by hand, for what no gRPC library would send."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

HEADERS, DATA, SETTINGS, RST_STREAM, GOAWAY, PING = 1, 0, 4, 3, 7, 6
END_HEADERS, END_STREAM, ACK = 4, 1, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INITIAL_WINDOW_SIZE = 4


def declared_only(address: str, path: str, length: int) -> set[int]:
    """The kinds of frames that come back on the call, or end its connection, once nothing but its headers and a
    message's declared length, five bytes, have been sent."""
    with _call(address, path, b"") as connection:
        connection.sendall(_frame(DATA, 0, 1, b"\x00" + struct.pack(">I", length)))
        seen: set[int] = set()
        stream = connection.makefile("rb")
        while not seen & {RST_STREAM, GOAWAY} and (head := stream.read(9)):
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            of_the_call = int.from_bytes(head[5:9], "big") == 1
            stream.read(size)
            if of_the_call or kind == GOAWAY:
                seen.add(kind)
            if of_the_call and kind == HEADERS and flags & END_STREAM:
                break
        return seen


@contextmanager
def without_window(address: str, path: str) -> Iterator[socket.socket]:
    """A call with an empty message that takes no byte of an answer: its window for flow control is 0."""
    no_window = struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)
    with _call(address, path, no_window) as connection:
        connection.sendall(_frame(DATA, END_STREAM, 1, bytes(5)))
        yield connection


def with_header(address: str, path: str, name: str, value: str) -> bytes:
    """Everything that is answered to a call with an empty message and this header, which may be an illegal one."""
    with _call(address, path, b"", (name, value)) as connection:
        connection.sendall(_frame(DATA, END_STREAM, 1, bytes(5)))
        answer, stream = b"", connection.makefile("rb")
        while head := stream.read(9):
            kind, flags = head[3], head[4]
            answer += head + stream.read(int.from_bytes(head[:3], "big"))
            if kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and flags & END_STREAM):
                break
        return answer


def pinging(address: str, count: int, interval_s: float) -> set[int]:
    """The kinds of frames that come back on a connection without a call that sends so many PINGs."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(PREFACE + _frame(SETTINGS, 0, 0, b""))
        for _ in range(count):
            time.sleep(interval_s)
            connection.sendall(_frame(PING, 0, 0, bytes(8)))
        seen, pongs, stream = set(), 0, connection.makefile("rb")
        while pongs < count and GOAWAY not in seen and (head := stream.read(9)):
            stream.read(int.from_bytes(head[:3], "big"))
            seen.add(head[3])
            pongs += head[3] == PING and head[4] == ACK
        return seen


@contextmanager
def _call(address: str, path: str, settings: bytes, *more: tuple[str, str]) -> Iterator[socket.socket]:
    """A connection whose call 1 has its headers."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(PREFACE + _frame(SETTINGS, 0, 0, settings))
        pairs = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", address))
        pairs += (("content-type", "application/grpc"), ("te", "trailers"), *more)
        block = b"".join(b"\x00" + _string(name) + _string(value) for name, value in pairs)
        connection.sendall(_frame(HEADERS, END_HEADERS, 1, block))
        yield connection


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _string(text: str) -> bytes:
    """HPACK's, without its code of Huffman's; shorter than 127."""
    return bytes([len(text)]) + text.encode()
