"""docs/packs.md does what it says: its example is read from the page, checked, and served as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engines.build import ROOT, pack_named, shipped_packs
from facegate.cli import app
from facegate_client import FaceClient
from support.serving import serving

PAGE = (ROOT / "docs" / "packs.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path_factory.mktemp("example") / "entrance.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_is_sound(example: Path, weights: dict[str, Path]) -> None:
    checked = CliRunner().invoke(app, ["packs", "check", str(example), "--sheet", str(example.with_suffix(".png"))])
    assert checked.exit_code == 0, checked.output
    assert example.with_suffix(".png").stat().st_size > 10_000


def test_the_example_is_served_with_one_liveness_net(example: Path, samples: dict[str, Path], tmp_path: Path) -> None:
    live, spoof = samples["image_T1.jpg"], samples["image_F2.jpg"]
    with serving(tmp_path / "log", "--pack", str(example)) as running, FaceClient(running.grpc) as client:
        verdict = client.verify(live, live, anti_spoofing=True)
        vetoed = client.verify(live, spoof, anti_spoofing=True)
    assert verdict
    assert verdict.threshold == pytest.approx(0.45)
    assert (vetoed.verified, vetoed.is_real_1, vetoed.is_real_2) == (False, True, False)


def test_every_pack_is_on_the_page_with_what_was_never_run() -> None:
    rows = {row.split("`")[1]: row for row in PAGE.splitlines() if row.startswith("| `")}
    assert set(rows) == set(shipped_packs())
    for name, row in rows.items():
        never_run = [file for file in pack_named(name).files.values() if file.never_run]
        assert ("never run here" in row) == bool(never_run)
        assert ("non-commercial" in row) == (not pack_named(name).commercial_use)
