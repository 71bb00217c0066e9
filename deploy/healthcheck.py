"""Ends with status 0 when the server of this container is ready; for Docker, which need not find curl in the image."""

from __future__ import annotations

import http.client
import os
import sys


def ready(port: int) -> bool:
    """Whether Triton says so on `port` of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/v2/health/ready", headers={"Connection": "close"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not ready(int(os.environ.get("FACEGATE_HTTP_PORT", "8000"))))
