"""A camera: RTSP over TCP, an MPEG transport stream in RTP (RFC 2326, 2250), one thread a connection."""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import socketserver
import struct
import threading
from types import TracebackType

from support.made_videos import write_video

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n{declared}"
    "m=video 0 RTP/AVP 33\r\na=control:track0\r\n"
)
_PACKET = 7 * 188  # RFC 2250: whole transport packets, as many as an Ethernet frame holds


class RtspCamera:
    """Streams 20 s of `picture` at 25 frames a second to each who plays, from the beginning.

    `declared_s` is the length that it declares, if any. `silent`: answers everything and sends no frame. With `user`
    and `password` it asks for them. It can be stopped and started again at the same port; whoever is connected is cut
    off.
    """

    def __init__(self, user: str | None = None, password: str = "") -> None:
        self.silent = False
        self.declared_s: int | None = None
        self.played = 0
        self.credentials = None if user is None else base64.b64encode(f"{user}:{password}".encode()).decode()
        self.stream: bytes = write_video(io.BytesIO(), 500, form="mpegts").getvalue()
        self.port = 0
        self._server: _Server | None = None
        self.start()

    def start(self) -> None:
        """Listens (again)."""
        self._server = _Server(("127.0.0.1", self.port), _Connection)
        self._server.camera = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Cuts everybody off and listens no more."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.stopping.set()
            for connection in list(server.connections):
                with contextlib.suppress(OSError):  # gone by itself
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> RtspCamera:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    camera: RtspCamera

    def __init__(self, address: tuple[str, int], handler: type[_Connection]) -> None:
        self.connections: set[socket.socket] = set()
        self.stopping = threading.Event()
        super().__init__(address, handler)


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.connections.add(self.connection)
        try:
            while request := self._request():
                self._answer(*request)
        except OSError:
            pass  # cut off, by either side

    def _request(self) -> tuple[str, dict[str, str]] | None:
        line = self.rfile.readline().decode()
        if not line:
            return None
        headers = {}
        while (header := self.rfile.readline().decode().strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return line.split()[0], headers

    def _answer(self, method: str, headers: dict[str, str]) -> None:
        camera = self.server.camera
        if camera.credentials and headers.get("authorization") != f"Basic {camera.credentials}":
            self._reply("401 Unauthorized", headers, 'WWW-Authenticate: Basic realm="camera"\r\n')
        elif method == "OPTIONS":
            self._reply("200 OK", headers, "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")
        elif method == "DESCRIBE":
            declared = "" if camera.declared_s is None else f"a=range:npt=0-{camera.declared_s}\r\n"
            sdp = _SDP.format(declared=declared)
            self._reply("200 OK", headers, f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n", sdp)
        elif method == "SETUP":
            self._reply("200 OK", headers, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n")
        else:
            self._reply("200 OK", headers, "Session: 1\r\n")
            if method == "PLAY":
                camera.played += 1
                self._play(camera)

    def _reply(self, status: str, headers: dict[str, str], more: str, body: str = "") -> None:
        self.wfile.write(f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{more}\r\n{body}".encode())

    def _play(self, camera: RtspCamera) -> None:
        stream = b"" if camera.silent else camera.stream
        packets = -(-len(camera.stream) // _PACKET)
        for number, at in enumerate(range(0, len(stream), _PACKET)):
            rtp = struct.pack("!BBHII", 0x80, 33, number & 0xFFFF, number * 90, 1) + stream[at : at + _PACKET]
            self.wfile.write(struct.pack("!cBH", b"$", 0, len(rtp)) + rtp)
            if self.server.stopping.wait(20 / packets):
                return
        self.server.stopping.wait()
