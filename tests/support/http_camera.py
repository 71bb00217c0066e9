"""A web server as cameras have them: multipart JPEG without end, and files."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import cv2

from support.made_videos import picture


class HttpCamera:
    """`/live` is MJPEG, a frame every 40 ms, `frames` of them a connection, each of the `size` that is set as it goes.

    `files` and `redirects` are by path.
    The first requests for a path get the statuses that `errors` has for it. Of files, `sent` is the part that arrives.
    With `stalled` set, frames stop and connections stay.
    """

    def __init__(self) -> None:
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
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(camera.frames):
            jpeg = cv2.imencode(".jpg", picture(number, *camera.size))[1].tobytes()
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
            self.wfile.write(jpeg + b"\r\n")
            if camera.stopping.wait(0.04):
                return
            while camera.stalled.is_set() and not camera.stopping.wait(0.02):
                pass

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Says nothing."""
