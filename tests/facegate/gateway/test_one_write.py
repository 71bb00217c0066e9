"""What uvicorn writes piece by piece leaves as one."""

from __future__ import annotations

import asyncio

import pytest

from facegate.gateway.door.http_server import OneWrite


class Wire:
    """A transport that remembers what came, and how it ended."""

    def __init__(self):
        self.sent, self.ended = [], ""

    def write(self, data):
        self.sent.append(data)

    def close(self):
        self.ended = "closed"

    def abort(self):
        self.ended = "aborted"

    def is_closing(self):
        return bool(self.ended)


def after(*steps):
    """What the wire got by these steps, each in a turn of the loop of its own."""

    async def run():
        wire = Wire()
        writing = OneWrite(wire)
        for step in steps:
            step(writing)
            await asyncio.sleep(0)
        return wire.sent, wire.ended

    return asyncio.run(run())


def answer(writing):
    for piece in (b"head", b"body", b""):
        writing.write(piece)


def test_one_turn_of_the_loop_is_one_write():
    assert after(answer, answer) == ([b"headbody", b"headbody"], "")


def test_more_than_a_head_and_a_body_is_not_waited_for():
    assert after(lambda writing: (answer(writing), writing.write(b"more"), writing.write(b"end"))) == (
        [b"headbody", b"moreend"],
        "",
    )


def test_nothing_is_written_where_nothing_was():
    assert after(lambda writing: writing.write(b"")) == ([], "")


@pytest.mark.parametrize(
    ("end", "sent"), [(lambda writing: writing.close(), [b"head"]), (lambda writing: writing.abort(), [])]
)
def test_a_close_sends_what_was_written_and_an_abort_does_not(end, sent):
    def at_once(writing):
        writing.write(b"head")
        end(writing)

    assert after(at_once)[0] == sent
