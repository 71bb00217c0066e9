"""Ends with status 0 when the server of this container is ready; for Docker, which need not find curl in the image.

`healthcheck.py` asks Triton, `healthcheck.py gateway` the gateway.
"""

from __future__ import annotations

import http.client
import os
import sys


def ready(port: int, path: str) -> bool:
    """Whether `path` on `port` of this machine is answered with status 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["gateway"]:
        sys.exit(not ready(int(os.environ.get("FACEGATE_GATEWAY_PROBE_PORT", "8081")), "/readyz"))
    sys.exit(not ready(int(os.environ.get("FACEGATE_HTTP_PORT", "8000")), "/v2/health/ready"))
