"""A net that has too much to do: the ensemble says so, as overload, and never as a verdict."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.changed_models import sealed
from support.serving import Server, serving_repository
from support.wire import encoded, infer, refused


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose liveness net refuses whatever waits for a microsecond."""
    folder = tmp_path_factory.mktemp("impatient")
    shutil.copytree(repository, folder / "repository")
    config = folder / "repository" / "minifasnet_v2" / "configs" / "onnxruntime.pbtxt"
    text = config.read_text()
    impatient = text.replace("default_timeout_microseconds: 5000000", "default_timeout_microseconds: 1")
    assert impatient != text
    config.write_text(impatient)
    sealed(folder / "repository")
    with serving_repository(folder / "log", folder / "repository", "bls") as running:
        yield running


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_a_check_that_found_no_place_in_a_nets_queue_is_overload(
    server: Server, samples: dict[str, Path], transport: str
) -> None:
    image = encoded("IMAGE", samples["image_T1.jpg"])
    answer = infer(transport, server.address(transport), "face_analyze", [image], anti_spoofing=True)
    assert refused(answer, transport, "RESOURCE_EXHAUSTED")
    assert "minifasnet_v2 has too much to do" in str(answer.message)
    unchecked = infer(transport, server.address(transport), "face_analyze", [image])
    assert len(unchecked.outputs["BOXES"]) == 1, "what does not ask for it is answered"
