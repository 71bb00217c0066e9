"""The operator's rules for verifications, which no request can override."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated

from pydantic import Field, TypeAdapter

from facegate_client import contract


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a server or of a gateway.

    With `require_liveness` a request must set anti_spoofing. `max_threshold` is the largest cosine distance, in (0, 2],
    that a request may give as its threshold.
    """

    require_liveness: bool = False
    max_threshold: Annotated[float, Field(ge=contract.LEAST_THRESHOLD, le=contract.MAX_THRESHOLD)] = (
        contract.MAX_THRESHOLD
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Policy:
        """Returns the rules in FACEGATE_REQUIRE_LIVENESS and FACEGATE_MAX_THRESHOLD. Raises ValueError."""
        names = {field.name: f"FACEGATE_{field.name.upper()}" for field in fields(cls)}
        given = {field: environment[name] for field, name in names.items() if name in environment}
        return TypeAdapter(cls).validate_python(given)


UNRESTRICTED = Policy()
"""The policy of a server whose operator set no rules."""
