"""A camera: RTSP over TCP, an MPEG transport stream or H.264 in RTP (RFC 2326, 2250, 6184), one thread a connection."""

from __future__ import annotations

import base64
import contextlib
import io
import re
import socket
import socketserver
import ssl
import struct
import threading
from fractions import Fraction
from types import TracebackType
from typing import Any

import av

from support.certificates import Certificates
from support.made_videos import picture, write_video

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n{declared}"
    "m=video 0 RTP/AVP 33\r\na=control:track0\r\n"
)
_SDP_H264 = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track0\r\n"
)
_START_CODE = re.compile(rb"\x00\x00\x00?\x01")
_PACKET = 7 * 188  # RFC 2250: whole transport packets, as many as an Ethernet frame holds


class RtspCamera:
    """Streams 20 s of `picture` at 25 frames a second to each who plays, from the beginning.

    `declared_s` is the length that it declares, if any. `silent`: answers everything and sends no frame. With `user`
    and `password` it asks for them. It can be stopped and started again at the same port; whoever is connected is cut
    off. With `every_s` it streams H.264 instead, a frame each time, of which every fifth is a key frame. With
    `stalled` set it sends no more, and keeps its connections. With `certificates` it speaks TLS.
    """

    def __init__(
        self,
        user: str | None = None,
        password: str = "",
        *,
        every_s: float | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self.silent = False
        self.stalled = threading.Event()
        self.every_s = every_s
        self.tls = None
        if certificates is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificates.server, certificates.server_key)
        self.declared_s: int | None = None
        self.played = 0
        self.credentials = None if user is None else base64.b64encode(f"{user}:{password}".encode()).decode()
        self.stream: bytes = b""
        self.units: list[list[bytes]] = []
        if every_s is None:
            self.stream = write_video(io.BytesIO(), 500, form="mpegts").getvalue()
        else:
            self.units = _access_units(100)
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

    def setup(self) -> None:
        if self.server.camera.tls is not None:
            self.request.settimeout(5)
            self.request = self.server.camera.tls.wrap_socket(self.request, server_side=True)
            self.request.settimeout(None)
        super().setup()

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
            sdp = _SDP.format(declared=declared) if camera.every_s is None else _SDP_H264
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
        if camera.every_s is not None:
            self._play_slowly(camera, camera.every_s)
            return
        stream = b"" if camera.silent else camera.stream
        packets = -(-len(camera.stream) // _PACKET)
        for number, at in enumerate(range(0, len(stream), _PACKET)):
            rtp = struct.pack("!BBHII", 0x80, 33, number & 0xFFFF, number * 90, 1) + stream[at : at + _PACKET]
            self.wfile.write(struct.pack("!cBH", b"$", 0, len(rtp)) + rtp)
            if self.server.stopping.wait(20 / packets):
                return
        self.server.stopping.wait()

    def _play_slowly(self, camera: RtspCamera, every_s: float) -> None:
        number = 0
        for frame, unit in enumerate(camera.units):
            if camera.stalled.is_set():
                break
            for nal in unit:
                last = 0x80 if nal is unit[-1] else 0
                time = int(frame * every_s * 90_000)
                rtp = struct.pack("!BBHII", 0x80, 96 | last, number & 0xFFFF, time, 1) + nal
                self.wfile.write(struct.pack("!cBH", b"$", 0, len(rtp)) + rtp)
                number += 1
            if self.server.stopping.wait(every_s):
                return
        self.server.stopping.wait()


def _access_units(frames: int) -> list[list[bytes]]:
    """The NAL units of each frame of a small H.264 stream, its parameter sets before each key frame."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.gop_size = 160, 120, "yuv420p", 5
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "repeat-headers=1:annexb=1"}
    pictures = (av.VideoFrame.from_ndarray(picture(number), "bgr24") for number in range(frames))
    packets = [packet for each in pictures for packet in encoder.encode(each)]
    return [[nal for nal in _START_CODE.split(bytes(packet)) if nal] for packet in packets]
