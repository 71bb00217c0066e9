"""A web server as cameras have them: multipart JPEG without end, and files."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import cv2

from support.certificates import Certificates
from support.made_videos import picture


class HttpCamera:
    """`/live` is MJPEG, a frame every 40 ms, `frames` of them a connection, each of the `size` that is set as it goes.

    `files` and `redirects` are by path.
    The first requests for a path get the statuses that `errors` has for it. Of files, `sent` is the part that arrives.
    With `stalled` set, frames stop and connections stay. `every_s` is the time between two frames; `start` and `part`
    are what is written once, and before each JPEG, where %d is its length. With `certificates` it speaks TLS.
    """

    def __init__(self, certificates: Certificates | None = None) -> None:
        self.every_s = 0.04
        self.kind = "multipart/x-mixed-replace; boundary=frame"
        self.start = b""
        self.part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        self.end = b"\r\n"
        self.changed: Callable[[int, bytes], bytes] = lambda number, jpeg: jpeg
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.errors: dict[str, list[int]] = {}
        self.sent = 1.0
        self.frames = 1_000_000
        self.size = (160, 120)
        self.connections = 0
        self.stalled = threading.Event()
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.camera = self
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.server, certificates.server_key)
            self._server.socket = context.wrap_socket(self._server.socket, True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HttpCamera:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    camera: HttpCamera

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a client that refuses a certificate goes away in the middle."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        camera = self.server.camera
        path = self.path.partition("?")[0]
        try:
            if camera.errors.get(path):
                self.send_error(camera.errors[path].pop(0))
            elif path == "/live":
                self._live(camera)
            elif path in camera.redirects:
                self.send_response(302)
                self.send_header("Location", camera.redirects[path])
                self.end_headers()
            elif path in camera.files:
                self.send_response(200)
                self.send_header("Content-Length", str(len(camera.files[path])))
                self.end_headers()
                self.wfile.write(camera.files[path][: round(len(camera.files[path]) * camera.sent)])
            else:
                self.send_error(404)
        except OSError:
            pass  # the client has gone

    def _live(self, camera: HttpCamera) -> None:
        camera.connections += 1
        self.send_response(200)
        self.send_header("Content-Type", camera.kind)
        self.end_headers()
        self.wfile.write(camera.start)
        for number in range(camera.frames):
            jpeg = cv2.imencode(".jpg", picture(number, *camera.size))[1].tobytes()
            jpeg = camera.changed(number, jpeg)
            self.wfile.write(camera.part.replace(b"%d", b"%d" % len(jpeg)) + jpeg + camera.end)
            if camera.stopping.wait(camera.every_s):
                return
            while camera.stalled.is_set() and not camera.stopping.wait(0.02):
                pass

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Says nothing."""
