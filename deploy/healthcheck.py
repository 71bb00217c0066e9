"""Ends with status 0 when the server of this container is ready; for Docker, which need not find curl in the image.

`healthcheck.py` asks Triton, `healthcheck.py gateway` the gateway.
"""

from __future__ import annotations

import http.client
import os
import sys


def ready(host: str, port: int, path: str) -> bool:
    """Whether `path` on `port` is answered with status 200. Connecting to 0.0.0.0 reaches this machine."""
    connection = http.client.HTTPConnection(host, port, timeout=4)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["gateway"]:
        port = int(os.environ.get("FACEGATE_GATEWAY_PROBE_PORT", "8081"))
        sys.exit(not ready("127.0.0.1", port, "/readyz"))
    host = os.environ.get("FACEGATE_HTTP_HOST") or "127.0.0.1"
    sys.exit(not ready(host, int(os.environ.get("FACEGATE_HTTP_PORT", "8000")), "/v2/health/ready"))
