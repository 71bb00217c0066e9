"""What the operator of a server or of a gateway sets for verifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated

from pydantic import Field, TypeAdapter

from facegate_client import contract
from facegate_client.contract import SeveralFaces


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a server or of a gateway, and a default.

    With `require_liveness` a request must set anti_spoofing. `max_threshold` is the largest cosine distance, in (0, 2],
    that a request may give as its threshold. `several_faces` applies to a face_verify request that does not set it.
    """

    require_liveness: bool = False
    max_threshold: Annotated[float, Field(ge=contract.LEAST_THRESHOLD, le=contract.MAX_THRESHOLD)] = (
        contract.MAX_THRESHOLD
    )
    several_faces: SeveralFaces = SeveralFaces.BEST

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Policy:
        """Returns each field from its variable, such as FACEGATE_MAX_THRESHOLD, where it is set. Raises ValueError."""
        names = {field.name: _variable(field.name) for field in fields(cls)}
        given = {field: environment[name] for field, name in names.items() if name in environment}
        return TypeAdapter(cls).validate_python(given)

    def as_environment(self) -> dict[str, str]:
        """Returns the variables that `from_environment` reads."""
        values = TypeAdapter(Policy).dump_python(self, mode="json")
        return {_variable(field): str(value) for field, value in values.items()}


def _variable(field: str) -> str:
    return f"FACEGATE_{field.upper()}"


UNRESTRICTED = Policy()
"""The policy of a server whose operator set no rules."""
