"""A container's quota counts, and not only the cores of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facegate_ensemble.runtime import cores as module
from facegate_ensemble.runtime.cores import cores


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("x", 8)]
)
def test_the_quota_of_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(module, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert cores() == expected


def test_no_quota_is_no_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "QUOTA", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert cores() == 1


@pytest.mark.parametrize(("there", "count"), [(1, 1), (2, 2), (8, 8), (9, 5), (16, 8), (64, 8)])
def test_a_core_is_a_lane_until_there_are_many_and_none_is_left_idle(
    monkeypatch: pytest.MonkeyPatch, there: int, count: int
) -> None:
    monkeypatch.setattr(module, "cores", lambda: there)
    assert module.lane_count() == count
    assert count * -(-there // count) >= there
