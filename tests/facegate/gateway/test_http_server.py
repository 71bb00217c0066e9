"""The HTTP server of the gateway around an application that says what it was sent."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from facegate.gateway.door import http_server
from facegate.gateway.door.http_server import HAS_KEY, MOST_HEAD_BYTES, HttpServer

CHUNKED = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def echo(scope, receive, send):
    """The request's path and how long its body is; at /deaf, at once and without reading the body.

    /key: a request with a valid key. /large: more than a socket holds. /refused: answered before the body comes.
    """
    length, more = 0, scope["path"] not in ("/deaf", "/refused")
    if scope["path"] == "/key":
        scope["state"][HAS_KEY] = True
    if scope["path"] == "/large":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(50_000_000), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message["body"]), message["more_body"]
    said = f"{scope['path']} {length}".encode()
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said, "more_body": scope["path"] == "/refused"})
    while scope["path"] == "/refused" and (await receive())["type"] != "http.disconnect":
        pass


def at_server(talk, **options):
    """What `talk(reader, writer)` returns on a connection to a server."""

    async def scenario():
        listening = socket.create_server(("127.0.0.1", 0))
        server = HttpServer(echo, None, 1, **options)
        serving = await server.begin(listening)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        try:
            return await asyncio.wait_for(talk(reader, writer), 20)
        finally:
            writer.close()
            server.should_exit = True
            await serving

    return asyncio.run(scenario())


async def answer(reader):
    """The status and the body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head.split()[1]), await reader.readexactly(length)


async def rest(reader):
    """All that comes until the server closes the connection, by a reset perhaps."""
    heard = b""
    try:
        while more := await reader.read(4096):
            heard += more
    except ConnectionError:
        pass
    return heard


def test_an_answers_head_and_body_are_one_write(monkeypatch):
    written, write = [], asyncio.selector_events._SelectorSocketTransport.write

    def watched(transport, data):
        written.append(bytes(data))
        write(transport, data)

    monkeypatch.setattr(asyncio.selector_events._SelectorSocketTransport, "write", watched)

    async def talk(reader, writer):
        for _ in range(2):
            writer.write(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n")
            assert await answer(reader) == (200, b"/a 3")

    at_server(talk)
    assert [data.endswith(b"/a 3") for data in written if data.startswith(b"HTTP/1.1 200")] == [True, True]


def test_who_says_that_nothing_more_comes_still_gets_the_answer():
    async def talk(reader, writer):
        writer.write(b"GET /deaf HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write_eof()
        return await answer(reader)

    assert [at_server(talk) for _ in range(20)] == [(200, b"/deaf 0")] * 20


@pytest.mark.parametrize(
    "offer",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
    ],
    ids=["curl --http2, and Java", "a web socket"],
)
def test_who_offers_another_protocol_is_answered_in_this_one(offer):
    async def talk(reader, writer):
        heard = []
        for _ in range(2):  # on one connection
            writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" + offer + b"\r\n12345")
            heard.append(await answer(reader))
        return heard

    assert at_server(talk) == [(200, b"/a 5")] * 2


def test_requests_that_come_at_once_are_answered_in_their_order():
    async def talk(reader, writer):
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(3)))
        return [await answer(reader) for _ in range(3)]

    assert at_server(talk) == [(200, b"/%d 0" % number) for number in range(3)]


@pytest.mark.parametrize("before", [b"", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"])
def test_a_head_without_an_end_is_not_waited_for(before, monkeypatch):
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.1)

    async def talk(reader, writer):
        if before:
            writer.write(before)
            assert await answer(reader) == (200, b"/a 1")
        writer.write(b"GET / HTTP/1.1\r\nA: ")
        return await rest(reader)

    assert at_server(talk) == b""


def test_a_connection_without_a_word_is_closed(monkeypatch):
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.1)
    assert at_server(lambda reader, writer: rest(reader)) == b""


def test_a_body_may_take_longer_than_a_head(monkeypatch):
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.1)

    async def talk(reader, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        await asyncio.sleep(0.3)
        writer.write(b"2")
        return await answer(reader)

    assert at_server(talk) == (200, b"/a 2")


def test_a_head_that_is_too_long_is_refused():
    async def talk(reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nA: " + b"a" * 2 * MOST_HEAD_BYTES)
        return await rest(reader)

    assert at_server(talk).startswith(b"HTTP/1.1 400 ")


async def connections(writer, count, sent=b""):
    """`count` more connections to the server that `writer` is connected to, each with these bytes sent."""
    opened = []
    for _ in range(count):
        opened.append(await asyncio.open_connection(*writer.get_extra_info("peername")))
        opened[-1][1].write(sent)
        await asyncio.sleep(0.02)  # until the server has it: the order counts
    return opened


async def is_closed(reader):
    try:
        return await asyncio.wait_for(rest(reader), 0.2) == b""
    except asyncio.TimeoutError:
        return False


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nA: ", b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_at_the_limit_the_longest_idle_connection_is_closed_for_a_new_one(sent):
    """Silent ones, ones without a whole head, and ones whose request is answered."""

    async def talk(reader, writer):
        opened = await connections(writer, 3, sent)  # with the first one, as many as are allowed
        if b"Host" in sent:
            assert [await answer(each) for each, _ in opened] == [(200, b"/first 0")] * 3
        for number, (each, writing) in enumerate(await connections(writer, 3)):
            writing.write(b"GET /new HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await answer(each) == (200, b"/new 0")
            assert await is_closed([reader, *(each for each, _ in opened)][number])
        return await is_closed(opened[-1][0])

    assert at_server(talk, max_connections=4) is False


@pytest.mark.parametrize(
    "held", [b"GET /key HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"]
)
def test_a_connection_with_a_key_or_with_a_request_under_way_is_never_closed_for_a_new_one(held):
    async def talk(reader, writer):
        writer.write(held)
        opened = await connections(writer, 1, held)
        ((refused, _),) = await connections(writer, 1)
        assert await is_closed(refused)
        closed = [await is_closed(each) for each in (reader, opened[0][0])]
        return closed

    assert at_server(talk, max_connections=2) == [False, False]


def test_a_key_counts_for_all_of_a_connections_time():
    async def talk(reader, writer):
        for path in (b"/key", b"/none"):
            writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            await answer(reader)
        without, _ = (await connections(writer, 1))[0]
        new, _ = (await connections(writer, 1))[0]
        return [await is_closed(each) for each in (reader, without, new)]

    assert at_server(talk, max_connections=2) == [False, True, False]


@pytest.mark.parametrize(
    "asks",
    [b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"],
)
def test_who_does_not_read_an_answer_or_sends_on_after_it_has_no_place_of_their_own(asks):
    async def talk(reader, writer):
        writer.write(asks)
        await asyncio.sleep(0.1)
        new, writing = (await connections(writer, 1))[0]
        writing.write(b"GET /new HTTP/1.1\r\nHost: x\r\n\r\n")
        return await answer(new)

    assert at_server(talk, max_connections=1) == (200, b"/new 0")


@pytest.mark.parametrize("path", [b"/a", b"/deaf"])
@pytest.mark.parametrize("together", [True, False])
def test_a_damaged_body_is_no_fault_of_ours(path, together, caplog):
    """Whether it comes with the head or after it, and whether anybody reads it."""

    async def talk(reader, writer):
        writer.write(CHUNKED.replace(b"/a", path))
        if not together:
            await asyncio.sleep(0.05)
        writer.write(b"no length\r\n")
        return await rest(reader)

    with caplog.at_level(logging.ERROR):
        heard = at_server(talk)
    assert heard.startswith(b"HTTP/1.1 400 ") or (path == b"/deaf" and not together)
    assert caplog.records == []
