"""Pictures by address: only of hosts on the list, only at public addresses, whatever names and redirects say."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpcore
import pytest

from facegate.gateway.errors import GatewayError
from facegate.gateway.public_hosts import allowed_host, is_public, target_of
from facegate.gateway.urls import UrlFetcher
from support.certificates import make_certificates

PUBLIC = "93.184.215.14"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\npicture"


class Net(httpcore.AnyIOBackend):
    """The internet: names have the addresses of `names`, and whatever is connected to is the test's own server."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names, self.looked_up, self.connected = names, [], []
        self.port = 0

    async def resolve(self, host: str, port: int) -> list[str]:
        self.looked_up.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]

    async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        self.connected.append((host, port))
        return await super().connect_tcp("127.0.0.1", self.port, *args, **kwargs)


HOSTS = ("a.example", "*.b.example")


def fetched(net: Net, url: str, answers: dict[str, bytes], allowed=HOSTS, tls=None, **limits: Any) -> Any:
    """What comes of `url` where the server answers so by path; the heads of the requests; a GatewayError's text."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        writer.write(answers[head.split()[1].decode()])
        if b"hang" not in head:
            await writer.drain()
            writer.close()

    async def run() -> Any:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
        net.port = server.sockets[0].getsockname()[1]
        fetcher = UrlFetcher(allowed, resolve=net.resolve, network=net, **limits)
        try:
            return await fetcher.fetch(url, "img")
        except GatewayError as error:
            assert error.failure.code.name == "INVALID_ARGUMENT"
            assert error.failure.violations[0].field == "img"
            return str(error)
        finally:
            server.close()

    return asyncio.run(run()), heads


def test_a_picture_is_fetched_from_the_address_that_was_checked():
    net = Net({"a.example": [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]})
    got, (head,) = fetched(net, "http://a.example/face.jpg?size=2#part", {"/face.jpg?size=2": OK})
    assert got == b"picture"
    assert (net.looked_up, net.connected) == (["a.example"], [(PUBLIC, 80)])
    assert b"Host: a.example\r\n" in head
    assert b"accept-encoding: identity" in head.lower()
    assert b"cookie" not in head.lower()


def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert fetched(Net({"a.example": [PUBLIC]}), "http://a.example/", {"/": OK})[0] == b"picture"


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/",
        "http://a.example.evil.example/",
        "http://xa.example/",
        "http://b.example/",
        "http://a.example:8080/",
        "https://a.example:80/",
        "http://a.example./",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://user:word@a.example/",
        "http://a.example@evil.example/",
        "http://evil.example\\@a.example/",
        "http://a.example\t/",
        "http://a.example /",
        "http://a.\u0435xample/",
        "http:///",
        "http://",
        "http://a.example:99999/",
        "http://[/",
        "ftp://a.example/",
        "file:///etc/passwd",
    ],
)
def test_other_addresses_are_not_even_looked_up(url):
    net = Net({})
    got, heads = fetched(net, url, {})
    assert isinstance(got, str)
    assert (net.looked_up, net.connected, heads) == ([], [], [])


@pytest.mark.parametrize(
    "addresses",
    [[], ["10.0.0.1"], ["127.0.0.1"], ["169.254.169.254"], [PUBLIC, "192.168.0.1"], ["::ffff:127.0.0.1"], ["nonsense"]],
)
def test_a_host_with_an_address_that_is_not_public_is_not_connected_to(addresses):
    net = Net({"a.example": addresses})
    assert "public" in fetched(net, "http://a.example/", {"/": OK})[0]
    assert net.connected == []


def test_a_name_that_is_not_there_is_refused():
    assert "reached" in fetched(Net({}), "http://a.example/", {})[0]


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


def test_redirects_are_followed_where_pictures_may_come_from():
    net = Net({"a.example": [PUBLIC], "c.b.example": [PUBLIC]})
    answers = {"/": redirect("/1"), "/1": redirect("//c.b.example/2"), "/2": redirect("http://a.example/3"), "/3": OK}
    assert fetched(net, "http://a.example/", answers)[0] == b"picture"
    assert net.looked_up == ["a.example", "a.example", "c.b.example", "a.example"]


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("http://evil.example/", "may be fetched"),
        ("http://127.0.0.1/", "may be fetched"),
        ("file:///etc/passwd", "expected http"),
        ("http://inner.b.example/", "public"),
        ("/", "more than 3 times"),
        ("http://a.example:22/", "may be fetched"),
        ("\xff", "percent-encode"),
    ],
)
def test_a_redirect_leads_nowhere_else(to, said):
    net = Net({"a.example": [PUBLIC], "inner.b.example": ["10.0.0.7"]})
    got, heads = fetched(net, "http://a.example/", {"/": redirect(to)})
    assert said in got
    assert len(heads) == (4 if to == "/" else 1)


def test_a_name_that_changes_its_address_afterwards_gains_nothing():
    class Rebinding(Net):
        async def resolve(self, host: str, port: int) -> list[str]:
            await super().resolve(host, port)
            return [PUBLIC] if len(self.looked_up) == 1 else ["127.0.0.1"]

    net = Rebinding({"a.example": [PUBLIC]})
    assert fetched(net, "http://a.example/", {"/": OK})[0] == b"picture"
    assert net.connected == [(PUBLIC, 80)]
    assert net.looked_up == ["a.example"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "compressed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101, "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"32\r\n" + b"x" * 50 + b"\r\n" * 1, "reached"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 500, "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx", "reached"),
        (b"nonsense\r\n\r\n", "reached"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "answered 302"),
    ],
)
def test_answers_that_are_no_picture_are_refused(answer, said):
    net = Net({"a.example": [PUBLIC]})
    assert said in fetched(net, "http://a.example/", {"/": answer}, max_bytes=100)[0]


def test_an_answer_that_comes_too_slowly_is_given_up():
    net = Net({"a.example": [PUBLIC]})
    assert "within 0.3 s" in fetched(net, "http://a.example/hang", {"/hang": OK[:-3]}, timeout_s=0.3)[0]


def test_https_proves_the_host_by_its_name_and_not_by_its_address(tmp_path, monkeypatch):
    made = make_certificates(tmp_path)
    monkeypatch.setattr(httpcore, "default_ssl_context", lambda: ssl.create_default_context(cafile=made.ca))
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(made.server, made.server_key)
    net = Net({"localhost": [PUBLIC], "a.example": [PUBLIC]})
    allowed = ("localhost", "a.example")
    assert fetched(net, "https://localhost/", {"/": OK}, allowed, tls=ours)[0] == b"picture"
    assert net.connected == [(PUBLIC, 443)]
    assert "reached" in fetched(net, "https://a.example/", {"/": OK}, allowed, tls=ours)[0]
    down = {"/": redirect("http://localhost/1"), "/1": OK}
    assert "from https:// to http://" in fetched(net, "https://localhost/", down, allowed, tls=ours)[0]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (PUBLIC, True),
        ("2606:4700::1111", True),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("172.16.0.1", False),
        ("192.0.0.8", False),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:8.8.8.8", False),
        ("64:ff9b::808:808", False),
        ("64:ff9b:1::a00:1", False),
        ("2001:0:53aa::1", False),
        ("2002:a00:1::", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("2606:4700::1111%eth0", False),
        ("ff02::1", False),
        ("5f00::1", False),
    ],
)
def test_public_is_what_the_open_internet_has(address, public):
    assert is_public(address) is public


@pytest.mark.parametrize(
    "entry", ["", "*", "*.", "http://a.example", "a.example/", "a.example:0", "a.example:x", "a b"]
)
def test_an_entry_of_the_list_that_is_no_host_is_refused(entry):
    with pytest.raises(ValueError, match="expected a host"):
        UrlFetcher([entry])


@pytest.mark.parametrize(
    "entry", ["127.0.0.1", "10.1.2.3:8080", "169.254.169.254", "*.192.168.0.1", "127.1", "2130706433"]
)
def test_an_entry_that_could_never_be_fetched_from_is_refused(entry):
    with pytest.raises(ValueError, match="expected a public address"):
        UrlFetcher([entry])
    assert allowed_host(f"{PUBLIC}:8080").port == 8080


def test_an_entry_with_a_port_is_of_that_port_alone():
    entry = allowed_host("A.example:8443")
    assert entry.covers(target_of("https://a.example:8443/"))
    assert not entry.covers(target_of("https://a.example/"))
