"""docker-compose.yml: what `docker compose up` starts, and what it lets nobody do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from inspect import signature

import pytest

from facegate.build.build import repository_name
from facegate.serve.companion import STOP_SECONDS
from facegate.serve.triton import DRAIN_SECONDS, EXIT_SECONDS, SHM_BYTES
from facegate_client.contract import MAX_IMAGE_BYTES
from support.serving import ROOT

PROCESSES = 6
WAITING = 64 + 64
"""Requests that the TensorRT configuration works on and keeps waiting, each with two pictures at most."""

BUILDERS = {"triton": "build", "triton-local": "build", "triton-jetson": "build-jetson"}
"""Who builds what each service serves; the one that is not here needs no engines."""

NAMED_BY = {"pack": "FACEGATE_PACK", "size": "FACEGATE_DETECTOR_SIZE", "liveness": "FACEGATE_WITHOUT_LIVENESS"}
"""What a repository is called by, besides its target and its precision, and the variables that say it."""


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def said_by(*command: str) -> set[str]:
    """The options and environment variables in a command's help."""
    wide = {**os.environ, "COLUMNS": "500", "TERM": "dumb"}
    ended = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, env=wide, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return set(re.findall(r"--[a-z-]+|FACEGATE_[A-Z_]+", ended.stdout))


@pytest.fixture(scope="module")
def serving(services):
    """The services that serve, by name."""
    return {name: service for name, service in services.items() if name.startswith("triton")}


def test_the_file_is_what_the_compose_specification_says(tool):
    judge = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    judged = subprocess.run(judge, cwd=ROOT, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_up_builds_the_engines_and_serves_them_once_they_are_there(services):
    assert {name for name, service in services.items() if "profiles" not in service} == {"build", "triton"}
    for name, builder in BUILDERS.items():
        assert services[name]["depends_on"] == {builder: {"condition": "service_completed_successfully"}}
        assert services[name].get("deploy") == services[builder].get("deploy")
        assert services[builder]["restart"] == "no"


def test_the_gateways_settings_are_options_of_the_command_and_its_people_outlive_it(services):
    gateway = services["gateway"]
    told = said_by("-m", "facegate", "gateway") | {"FACEGATE_GATEWAY_API_KEYS", "FACEGATE_GATEWAY_GALLERY_KEY"}
    assert set(gateway["environment"]) <= told
    assert gateway["environment"]["FACEGATE_GATEWAY_GALLERY"].startswith("/people/")
    assert "people:/people" in gateway["volumes"]
    assert seconds(gateway["stop_grace_period"]) > STOP_SECONDS
    assert {port.rsplit(":", 1)[1] for port in gateway["ports"]} == {"8080", "8081", "50051"}
    assert gateway["healthcheck"]["test"][-2:] == ["deploy/healthcheck.py", "gateway"]


def test_the_gateway_is_ready_without_liveness_where_the_server_has_none(composed):
    environments = [
        composed(**chosen)["services"]["gateway"]["environment"]
        for chosen in ({}, {"FACEGATE_WITHOUT_LIVENESS": "true"})
    ]
    assert [each["FACEGATE_GATEWAY_WITHOUT_LIVENESS"] for each in environments] == ["", "true"]


def test_what_is_built_is_what_is_served(composed):
    assert set(signature(repository_name).parameters) == {"target", "precision", *NAMED_BY}
    services = composed(FACEGATE_PRECISION="fp32")["services"]
    for name, builder in BUILDERS.items():
        serves, builds = services[name]["environment"], services[builder]["environment"]
        command = services[builder]["command"]
        assert command[command.index("--target") + 1] == serves["FACEGATE_BACKEND"]
        assert command[command.index("--precision") + 1] == serves["FACEGATE_PRECISION"]
        for variable in (*NAMED_BY.values(), "FACEGATE_ACCEPT_LICENSE", "FACEGATE_MIRROR"):
            assert builds[variable] == serves[variable], f"{variable} of {builder} and {name}"


def test_one_image_builds_and_serves_and_is_built_once(services):
    beside = services["gateway"]  # starts with one of the others
    assert beside["image"] == "facegate" and "build" not in beside
    for name, service in services.items():
        if name == "gateway":
            continue
        assert service["image"] == ("facegate-jetson" if "jetson" in name else "facegate")
        together = [service, *(services[other] for other in service.get("depends_on", {}))]
        assert {each["image"] for each in together} == {service["image"]}
        assert sum("build" in each for each in together) == 1, f"who builds the image of {name}?"
        assert service["pull_policy"] == "never", "a registry's image of that name is not ours"
    built = [service["build"] for service in services.values() if "build" in service]
    assert all(each == built[0] or "args" in each for each in built)


def test_a_stopped_build_ends_as_by_ctrl_c(services):
    for builder in set(BUILDERS.values()):
        assert services[builder]["stop_signal"] == "SIGINT"
        assert seconds(services[builder]["stop_grace_period"]) >= 60


def test_one_precision_and_one_gpu_are_chosen_for_both(composed):
    services = composed(FACEGATE_PRECISION="fp32", FACEGATE_GPU="3")["services"]
    assert "fp32" in services["build"]["command"]
    assert services["triton"]["environment"]["FACEGATE_PRECISION"] == "fp32"
    for name in ("build", "triton"):
        assert services[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] == ["3"]


def test_nobody_outside_the_machine_is_served_unless_told_so(composed, serving):
    for service in serving.values():
        assert [port.rsplit(":", 1)[0] for port in service["ports"]] == [
            f"127.0.0.1:{port}" for port in (8000, 8001, 8002)
        ]
        assert "network_mode" not in service
    opened = composed(FACEGATE_BIND="0.0.0.0", FACEGATE_GRPC_PORT="9001")["services"]
    for name in set(serving) - {"triton-local"}:
        assert opened[name]["ports"] == ["0.0.0.0:8000:8000", "0.0.0.0:9001:8001", "0.0.0.0:8002:8002"]


def test_client_certificates_are_not_required_on_loopback_and_can_be_for_other_machines(composed, serving):
    for service in serving.values():
        assert service["environment"]["FACEGATE_WITHOUT_CLIENT_AUTHENTICATION"] == "true"
    opened = composed(FACEGATE_BIND="0.0.0.0", FACEGATE_WITHOUT_CLIENT_AUTHENTICATION="false")["services"]
    for name in serving:
        assert opened[name]["environment"]["FACEGATE_WITHOUT_CLIENT_AUTHENTICATION"] == "false"


def test_memory_is_never_shared_with_other_machines(composed):
    services = composed(FACEGATE_BIND="0.0.0.0", FACEGATE_GRPC_PORT="9001")["services"]
    sharing = [service for service in services.values() if "FACEGATE_CLIENT_SHM" in service["environment"]]
    assert [service["ports"] for service in sharing] == [
        ["127.0.0.1:8000:8000", "127.0.0.1:9001:8001", "127.0.0.1:8002:8002"]
    ]


def test_every_container_is_confined(services):
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert service["init"] is True
        assert not {"privileged", "cap_add", "pid", "user"} & set(service)


def test_a_jetsons_gpu_is_open_to_the_group_that_owns_it(services):
    for name, service in services.items():
        on_jetson = "jetson" in name
        assert service.get("group_add") == (["video"] if on_jetson else None)
        assert service.get("runtime") == ("nvidia" if on_jetson else None)


def test_only_clients_that_ask_for_it_share_memory_with_the_host(services):
    assert [name for name, service in services.items() if "ipc" in service] == ["triton-local"]
    shared = [name for name, service in services.items() if "FACEGATE_CLIENT_SHM" in service["environment"]]
    assert shared == ["triton-local"]


def test_what_is_in_flight_is_answered_before_the_container_ends(serving):
    for service in serving.values():
        assert seconds(service["stop_grace_period"]) > DRAIN_SECONDS + 2 * EXIT_SECONDS


def test_shared_memory_holds_all_that_may_wait(serving):
    for name, service in serving.items():
        if name != "triton-local":  # it has the host's
            size = int(service["shm_size"].removesuffix("gb")) << 30
            assert size > PROCESSES * SHM_BYTES + WAITING * 2 * MAX_IMAGE_BYTES


def test_no_key_stands_in_the_file(services):
    for service in services.values():
        for name in ("FACEGATE_ADMIN_KEY", "FACEGATE_TLS_KEY", "FACEGATE_TLS_CERTIFICATE"):
            assert service["environment"].get(name) is None


def test_what_is_passed_on_is_known_to_the_server(serving):
    known = said_by("-m", "facegate", "serve") | {"FACEGATE_MIRROR"}
    for name, service in serving.items():
        unknown = {each for each in service["environment"] if each.startswith("FACEGATE_")} - known
        assert not unknown, f"{name}: `facegate serve` has no {', '.join(sorted(unknown))}"


def test_what_is_passed_on_is_known_to_the_builder(services):
    known = said_by("build_engines.py") | {"FACEGATE_MIRROR"}
    for name in ("build", "build-jetson"):
        options = {word for word in services[name]["command"] if word.startswith("--")}
        variables = {each for each in services[name]["environment"] if each.startswith("FACEGATE_")}
        assert options | variables <= known


def test_a_mirror_and_keys_are_mounted_to_be_read_only(composed):
    services = composed(FACEGATE_MIRROR_DIR="/srv/weights", FACEGATE_TLS_DIR="/etc/keys")["services"]
    assert "/srv/weights:/mirror:ro" in services["build"]["volumes"]
    assert {"/srv/weights:/mirror:ro", "/etc/keys:/tls:ro"} <= set(services["triton"]["volumes"])
    assert services["triton"]["environment"]["FACEGATE_MIRROR"] == "/mirror"


def test_every_volume_is_declared(composed):
    whole = composed()
    named = {volume.split(":")[0] for service in whole["services"].values() for volume in service["volumes"]}
    assert named == set(whole["volumes"])
