"""What cannot be had is said loudly, and in CI it is a failure."""

from __future__ import annotations

import os

import pytest

MISSING = pytest.StashKey[list[str]]()
"""The reasons, for the end of the run's report."""


def cannot_be_had(config: pytest.Config, reason: str) -> None:
    """Skip, loudly; fail in CI, where everything must be there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    if reason not in config.stash[MISSING]:
        config.stash[MISSING].append(reason)
    pytest.skip(reason.splitlines()[0])
