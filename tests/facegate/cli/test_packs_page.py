"""docs/packs.md does what it says: its example is read from the page, checked, and served as it is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facegate.build.build import cache, fetch_pack
from facegate.cli.app import app
from facegate.packs.shipped import pack_named, shipped_packs
from facegate_client import FaceClient
from support.serving import ROOT, serving

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


def test_what_the_project_has_already_is_not_fetched_again(
    example: Path, weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without a network, after `make demo`."""
    monkeypatch.delenv("FACEGATE_MIRROR", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    pack = pack_named(str(example))
    shutil.rmtree(cache(pack), ignore_errors=True)
    assert set(fetch_pack(pack)) >= {"MobileFaceNet.onnx", "MiniFASNetV2.onnx", "image_T1.jpg"}


def test_the_example_is_served_with_one_liveness_net(example: Path, samples: dict[str, Path], tmp_path: Path) -> None:
    live, spoof = samples["image_T1.jpg"], samples["image_F2.jpg"]
    with serving(tmp_path / "log", "--pack", str(example)) as running, FaceClient(running.grpc) as client:
        verdict = client.verify(live, live, anti_spoofing=True)
        vetoed = client.verify(live, spoof, anti_spoofing=True)
    assert "Traceback" not in (tmp_path / "log").read_text()  # at its end, too
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
