"""The FACEGATE_* environment variables: which there are, and which cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from difflib import get_close_matches
from typing import Any

from facegate.errors import ServeError
from facegate_client.contract import ADMIN_KEY

PREFIX = "FACEGATE_"
GALLERY_KEY = "FACEGATE_GATEWAY_GALLERY_KEY"
API_KEYS = "FACEGATE_GATEWAY_API_KEYS"

NO_OPTIONS = frozenset(
    (
        *(ADMIN_KEY, GALLERY_KEY, API_KEYS, "FACEGATE_API_KEY"),  # secrets, which are never options
        *("FACEGATE_MIRROR", "FACEGATE_LOCAL_REPOSITORY"),
        *("FACEGATE_DRAIN", "FACEGATE_PROVIDER"),  # what the server tells its Python processes
        # docker-compose.yml
        *("FACEGATE_BIND", "FACEGATE_GPU", "FACEGATE_MIRROR_DIR", "FACEGATE_MIRROR_URL", "FACEGATE_TLS_DIR"),
    )
)
"""Variables that are not an option of any command."""

RESTRICTIONS = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("TLS_CERTIFICATE", "TLS_CLIENT_CA", "REQUIRE_LIVENESS", "MAX_THRESHOLD"),
        *("GATEWAY_API_KEYS_FILE", "GATEWAY_TLS_CERTIFICATE", "GATEWAY_TLS_CLIENT_CA"),
        *("GATEWAY_REQUIRE_LIVENESS", "GATEWAY_MAX_THRESHOLD", "GATEWAY_GALLERY_MUST_EXIST"),
    )
)
"""Variables that restrict access or verification. An empty one would count as not set: no restriction."""

_OF_KUBERNETES = re.compile(
    PREFIX + r"(\w+_)?(SERVICE_HOST=.*|SERVICE_PORT(_\w+)?=\d+|PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*"
    r"|PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*)"
)
"""What Kubernetes sets in every container for a Service whose name is or begins with facegate:
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables"""


def check_environment(environment: Mapping[str, str], known: Set[str]) -> None:
    """Raises ServeError for a FACEGATE_* variable that is not in `known`, or that restricts and is empty."""
    for name in RESTRICTIONS:
        if not environment.get(name, "set").strip():
            raise ServeError(f"{name} is set, and empty: give it a value or unset it")
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in known and not _OF_KUBERNETES.fullmatch(f"{name}={value}"):
            raise ServeError(f"{name} is not a setting of FaceGate: {_remedy(name, known)}")


def variables_of(command: Any) -> Iterator[str]:
    """Yields the variables of a click command and of those under it."""
    for parameter in command.params:
        if parameter.envvar is not None:
            yield from [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar
    for each in getattr(command, "commands", {}).values():
        yield from variables_of(each)


def _remedy(name: str, known: Set[str]) -> str:
    # The common beginning is left out, since it makes everything look alike; a gateway's variable is compared with
    # the gateway's own.
    prefix = next(each for each in (f"{PREFIX}GATEWAY_", PREFIX) if name.startswith(each))
    names = sorted(each.removeprefix(prefix) for each in known if each.startswith(prefix))
    nearest = get_close_matches(name.removeprefix(prefix), names, 1)
    return f"did you mean {prefix}{nearest[0]}?" if nearest else "unset it"
