"""Serving as in NVIDIA's container: a server with backends of its own, found where the images have it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.utils.shared_memory as regions
from tritonclient.utils import InferenceServerException

from facegate.errors import ServeError
from facegate.serve.embedded import find_embedded
from facegate.serve.installation import find_triton
from facegate.serve.nvidia import find_nvidia
from facegate.serve.supervisor import Supervisor
from facegate.serve.triton import SHM_BYTES, Settings, _command
from support.nvidia_root import make_root, serving_from
from support.serving import MODELS, Server
from support.wire import encoded, infer


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("opt") / "tritonserver")


def settings(**changed) -> Settings:
    made = Settings(Path("/repository"), "tensorrt", "bls", "127.0.0.1", 8001, 8000, 8002, "key")
    return replace(made, **changed)


def command(root: Path, **changed) -> list[str]:
    return _command(find_nvidia(root), root / "backends", settings(**changed))


def tritonserver(server: Server) -> psutil.Process:
    children = psutil.Process(server.process.pid).children()
    return next(child for child in children if child.name() == "tritonserver")


@pytest.fixture(scope="module")
def server(root, repository, tmp_path_factory):
    """The image's own, which takes shared memory of clients."""
    with serving_from(root, tmp_path_factory.mktemp("native") / "log", repository, client_shm=True) as running:
        yield running


def test_the_images_own_server_answers_with_its_own_backends(server, root, samples):
    person, spoof = samples["image_T1.jpg"], samples["image_F2.jpg"]
    same = [encoded(f"IMAGE_{number}", person) for number in (1, 2)]
    pair = [encoded("IMAGE_1", person), encoded("IMAGE_2", spoof)]
    assert infer("grpc", server.grpc, "face_verify", same, anti_spoofing=True).outputs["VERIFIED"][0]
    assert not infer("grpc", server.grpc, "face_verify", pair, anti_spoofing=True).outputs["VERIFIED"][0]
    process = tritonserver(server)
    assert process.exe() == str(root / "bin/tritonserver")
    assert f"--backend-directory={root}/backends" in process.cmdline()
    stubs = process.children(recursive=True)
    assert [stub.exe() for stub in stubs] == [str(root / "backends/python/triton_python_backend_stub")] * MODELS
    assert all(stub.environ()["ORT_DISABLE_TELEMETRY"] == "1" for stub in stubs)
    assert f"facegate: Triton: NVIDIA's Triton in {root}, with its own backends" in server.log.read_text()


def test_without_an_image_the_server_that_pip_installs_is_taken(tmp_path):
    assert find_triton(tmp_path) == find_embedded()


def test_a_server_without_the_python_backend_is_refused(root, tmp_path):
    other = shutil.copytree(root, tmp_path / "other")
    (other / "backends/python/triton_python_backend_stub").unlink()
    with pytest.raises(ServeError, match=f"the Triton in {other} has no Python backend"):
        find_triton(other)


def test_another_python_than_the_stubs_is_refused(root, tmp_path):
    other = shutil.copytree(root, tmp_path / "other")
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    (other / "backends/python/triton_python_backend_stub").write_bytes(b"\x7fELF\0libpython3.99.so.1.0\0")
    with pytest.raises(ServeError, match=rf"runs Python 3\.99 and facegate Python {ours}"):
        find_triton(other)


def test_plans_are_served_by_the_default_configuration_and_with_the_gpus_memory_and_metrics(root):
    flags = " ".join(command(root))
    for absent in ("model-config-name", "allow-gpu-metrics", "pinned-memory-pool-byte-size", "version-compatible"):
        assert absent not in flags
    of_the_cpu = {"--model-config-name=onnxruntime", "--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0"}
    assert of_the_cpu <= set(command(root, backend="onnxruntime"))
    assert "--allow-gpu-metrics=false" not in command(root, backend="onnxruntime", provider="cuda")


def test_only_the_python_backend_is_told_about_its_memory(root):
    told = [word for word in command(root, version_compatible=True) if word.startswith("--backend-config=")]
    assert f"--backend-config=python,shm-default-byte-size={SHM_BYTES}" in told
    assert [word for word in told if "=python," not in word] == ["--backend-config=tensorrt,version-compatible=true"]


def test_a_start_on_a_gpu_may_take_longer():
    on_cpu, on_gpu = Supervisor(settings(backend="onnxruntime")), Supervisor(settings())
    assert on_gpu._start_seconds > on_cpu._start_seconds


@pytest.fixture
def shared_picture(samples):
    """A picture in a region of shared memory, as a client of this machine makes one: its key and size in bytes."""
    content = samples["image_T1.jpg"].read_bytes()
    packed = np.frombuffer(len(content).to_bytes(4, "little") + content, np.uint8)  # BYTES: each element after its size
    key, size = f"/picture-{os.getpid()}", len(packed)
    region = regions.create_shared_memory_region("picture", key, size)
    regions.set_shared_memory_region(region, [packed])
    yield key, size
    regions.destroy_shared_memory_region(region)


def test_clients_of_this_machine_may_pass_pictures_in_shared_memory(server, shared_picture):
    key, size = shared_picture
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        client.register_system_shared_memory("picture", key, size)
        picture = tritonclient.grpc.InferInput("IMAGE", [1], "BYTES")
        picture.set_shared_memory("picture", size)
        assert client.infer("face_analyze", [picture]).as_numpy("BOXES").shape == (1, 4)
        client.unregister_system_shared_memory("picture")
        with pytest.raises(InferenceServerException, match="restricted"):
            client.unload_model("face_verify")


def newer(root: Path, folder: Path) -> Path:
    """A server that knows the flag of NVIDIA's releases from 26.04."""
    other = shutil.copytree(root, folder)
    (other / "bin/tritonserver").write_text("#!/bin/sh\necho '  --allow-client-shm <boolean>'\n")
    return other


def test_a_newer_server_is_told_that_clients_may_use_shared_memory(root, tmp_path):
    other = newer(root, tmp_path / "newer")
    assert "--allow-client-shm=true" in command(other, client_shm=True)
    assert "allow-client-shm" not in " ".join(command(other))
    assert "allow-client-shm" not in " ".join(command(root, client_shm=True))
