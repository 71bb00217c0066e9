"""The command `facegate serve`."""

from __future__ import annotations

import os
import re
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegate.addresses import is_loopback, of_this_machine
from facegate.build.target import Precision, Size, Target
from facegate.cli.console import one_line, packages_for, say
from facegate.cli.gateway import DEFAULT_HOST, DEFAULT_PROBE_PORT
from facegate.cli.options import (
    DEFAULT_PACK,
    MAX_THRESHOLD_HELP,
    REQUIRE_LIVENESS_HELP,
    AcceptLicense,
    Backend,
    PackName,
    WithoutLiveness,
    detector_sizes,
)
from facegate.errors import ServeError
from facegate.packs.pack_file import PackFile
from facegate.packs.shipped import pack_named
from facegate.serve.installation import find_triton
from facegate_client import contract
from facegate_client.contract import ADMIN_KEY, SeveralFaces
from facegate_ensemble.policy import Policy

if TYPE_CHECKING:
    from facegate.cli.choice import Choice
    from facegate.serve.companion import Companion


class InfererKind(str, Enum):
    """What runs the models for the ensemble."""

    auto = "auto"
    onnxruntime = "onnxruntime"
    tensorrt = "tensorrt"
    bls = "bls"


def serve(
    pack: PackName = DEFAULT_PACK,
    accept_license: AcceptLicense = False,
    backend: Annotated[
        Backend, typer.Option(envvar="FACEGATE_BACKEND", help="What runs the nets; auto says what it picks and why.")
    ] = Backend.auto,
    inferer: Annotated[
        InfererKind,
        typer.Option(
            envvar="FACEGATE_INFERER",
            help="How the ensemble reaches the nets: in its own process, or by bls as Triton models, "
            "which costs throughput on a CPU and shares batches between requests.",
        ),
    ] = InfererKind.auto,
    precision: Annotated[
        Precision | None,
        typer.Option(
            envvar="FACEGATE_PRECISION",
            help="The numbers that the nets calculate with, as `facegate build` has built them; "
            "fp16 under TensorRT and fp32 under ONNX Runtime where not given.",
        ),
    ] = None,
    detector_size: Annotated[
        str | None,
        typer.Option(
            envvar="FACEGATE_DETECTOR_SIZE",
            metavar="HxW",
            help="What pictures are scaled to for the detector; the pack's own size where not given.",
        ),
    ] = None,
    without_liveness: WithoutLiveness = False,
    require_liveness: Annotated[
        bool,
        typer.Option(
            "--require-liveness",
            envvar="FACEGATE_REQUIRE_LIVENESS",
            help=REQUIRE_LIVENESS_HELP.format(requests="face_verify request"),
        ),
    ] = False,
    max_threshold: Annotated[
        float,
        typer.Option(
            envvar="FACEGATE_MAX_THRESHOLD",
            min=contract.LEAST_THRESHOLD,
            max=contract.MAX_THRESHOLD,
            help=MAX_THRESHOLD_HELP,
        ),
    ] = contract.MAX_THRESHOLD,
    several_faces: Annotated[
        SeveralFaces,
        typer.Option(
            envvar="FACEGATE_SEVERAL_FACES",
            help="face_verify, where a request does not say: of an image with several faces take the one with the "
            "highest detection score, take the largest, or refuse the request.",
        ),
    ] = SeveralFaces.BEST,
    host: Annotated[
        str,
        typer.Option(
            envvar="FACEGATE_HOST",
            help="The address that gRPC and metrics bind, and the HTTP of NVIDIA's Triton; 0.0.0.0 is every address. "
            "Any but loopback needs --tls-client-ca, or --without-client-authentication.",
        ),
    ] = "127.0.0.1",
    http_host: Annotated[
        str | None,
        typer.Option(
            envvar="FACEGATE_HTTP_HOST",
            help="The address that Triton's HTTP binds.",
            show_default="127.0.0.1 with the Triton that pip installs or with TLS, else --host",
        ),
    ] = None,
    without_client_authentication: Annotated[
        bool,
        typer.Option(
            "--without-client-authentication",
            envvar="FACEGATE_WITHOUT_CLIENT_AUTHENTICATION",
            help="Serve every machine that can reach the address, without client certificates.",
        ),
    ] = False,
    grpc_port: Annotated[int, typer.Option(envvar="FACEGATE_GRPC_PORT", min=1, max=65535)] = 8001,
    http_port: Annotated[int, typer.Option(envvar="FACEGATE_HTTP_PORT", min=1, max=65535)] = 8000,
    metrics_port: Annotated[int, typer.Option(envvar="FACEGATE_METRICS_PORT", min=1, max=65535)] = 8002,
    admin_key_file: Annotated[
        Path | None,
        typer.Option(
            envvar="FACEGATE_ADMIN_KEY_FILE",
            exists=True,
            dir_okay=False,
            help="A file with the key to Triton's shared-memory, repository, trace and logging calls; or the key in "
            f"{ADMIN_KEY}. Without either they are closed.",
        ),
    ] = None,
    admin_key: Annotated[str | None, typer.Option(hidden=True)] = None,
    client_shm: Annotated[
        bool,
        typer.Option(
            "--client-shm",
            envvar="FACEGATE_CLIENT_SHM",
            help="Clients of this machine may pass tensors in shared memory: for one whose users trust each other.",
        ),
    ] = False,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(
            envvar="FACEGATE_TLS_CERTIFICATE",
            exists=True,
            help="gRPC speaks TLS with this certificate (PEM); HTTP then stays on this machine.",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(envvar="FACEGATE_TLS_KEY", exists=True, help="The certificate's key (PEM)."),
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="FACEGATE_TLS_CLIENT_CA",
            exists=True,
            help="Only clients with a certificate of this authority (PEM) are served.",
        ),
    ] = None,
    with_gateway: Annotated[
        bool,
        typer.Option(
            "--gateway",
            envvar="FACEGATE_GATEWAY",
            help="Run the gateway too, stopped before Triton; its options are in `facegate gateway --help`, "
            "and are given here as environment variables, FACEGATE_GATEWAY_HTTP_PORT and so on.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option(envvar="FACEGATE_VERBOSE", help="Triton's own account of what it does.")
    ] = False,
) -> None:
    """Serve a pack by Triton until Ctrl-C or SIGTERM, which lets requests in flight be answered.

    Every option is also an environment variable.
    """
    with one_line():
        with packages_for("serve"):
            from facegate.cli.choice import Wish, choose
            from facegate.serve.supervisor import Supervisor
            from facegate.serve.triton import Settings
        if bool(tls_certificate) != bool(tls_key) or (tls_client_ca and not tls_certificate):
            raise ServeError("TLS needs --tls-certificate and --tls-key together; --tls-client-ca goes on top of them")
        if admin_key is not None:
            raise ServeError(
                "--admin-key: a command line is visible to every user of this machine: "
                f"use {ADMIN_KEY} or --admin-key-file"
            )
        if not without_client_authentication:
            _check_access(host, http_host, client_certificates=tls_client_ca is not None)
        known = pack_named(pack)
        say(f"pack {known.name}: {known.description}; {known.licence}")
        policy = Policy(require_liveness, max_threshold, several_faces)
        _check_policy(policy, known, without_liveness)
        wish = Wish(known, pack, backend, precision, _size(detector_size), not without_liveness, accept_license)
        choice = choose(wish, say)
        device = "GPU" if choice.provider == "cuda" else "CPU"
        say(f"backend {choice.target.value} on the {device}, {choice.repository.name}: {choice.why}")
        settings = Settings(
            repository=choice.repository,
            backend="onnxruntime" if choice.target is Target.onnxruntime else "tensorrt",
            provider=choice.provider,
            version_compatible=choice.version_compatible,
            build_command=choice.build_command,
            inferer=_inferer(inferer, choice).value,
            host=host,
            http_host=_http_host(http_host, host, tls=tls_certificate is not None),
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_port=metrics_port,
            client_shm=client_shm,
            admin_key=_admin_key(admin_key_file),
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
            verbose=verbose,
            policy=policy,
        )
        companion = None
        if with_gateway:
            companion = _gateway_beside(settings.companion_url, policy, without_liveness=without_liveness)
        Supervisor(settings, companion=companion).run()


def _check_policy(policy: Policy, pack: PackFile, without_liveness: bool) -> None:
    """Raises ServeError for rules that the pack cannot keep."""
    if policy.require_liveness and (without_liveness or pack.liveness is None):
        why = "contradicts --without-liveness" if without_liveness else f"needs liveness models; {pack.name} has none"
        raise ServeError(f"--require-liveness {why}")
    if pack.recognizer.threshold > policy.max_threshold:
        raise ServeError(
            f"the pack {pack.name} has the threshold {pack.recognizer.threshold:g}, which is above --max-threshold "
            f"{policy.max_threshold:g}; raise --max-threshold or lower the pack's threshold"
        )


def _check_access(host: str, http_host: str | None, *, client_certificates: bool) -> None:
    """Raises ServeError for an address that other machines can reach, where no client certificate is checked."""
    for option, address, checked in (("--host", host, client_certificates), ("--http-host", http_host, False)):
        if address is not None and not checked and not is_loopback(address):
            remedy = "" if option == "--http-host" else "--tls-client-ca (with --tls-certificate and --tls-key), or "
            raise ServeError(
                f"{option} {address}: any machine that can reach it would be served without authentication; "
                f"give {remedy}--without-client-authentication"
            )


def _http_host(given: str | None, host: str, *, tls: bool) -> str:
    """The address that Triton's HTTP binds. It cannot speak TLS, and that of the embedded Triton is not for others."""
    embedded = not find_triton().native
    if given is not None and embedded and not is_loopback(given):
        say(
            f"WARNING: --http-host {given}: one HTTP request of many small chunks (100 MB), from anybody who can reach "
            "this address, ends the Triton that pip installs. It is fixed in NVIDIA's releases since 2025, of which "
            "there is no such package; expose gRPC, the gateway, or NVIDIA's container instead"
        )
    return given or ("127.0.0.1" if embedded or tls else host)


def _admin_key(file: Path | None) -> str | None:
    """The key of the environment or of the file. Raises ServeError where it cannot be sent in a header."""
    key = os.environ.get(ADMIN_KEY) or None
    if file is not None:
        if key is not None:
            raise ServeError(f"--admin-key-file and {ADMIN_KEY}: give one of them")
        key = file.read_text(encoding="utf-8", errors="replace").strip()
    if key is not None and re.fullmatch("[!-~]+", key) is None:
        raise ServeError(f"{file or ADMIN_KEY}: expected one key of visible ASCII characters without spaces")
    return key


def _size(text: str | None) -> Size | None:
    sizes = detector_sizes(text)
    if len(sizes) > 1:
        raise ServeError(f"--detector-size {text}: one size is served at a time")
    return sizes[0]


def _inferer(asked: InfererKind, choice: Choice) -> InfererKind:
    """On a GPU the nets are asked for as Triton models: each is in its memory once, and requests share batches."""
    if asked is InfererKind.auto:
        return InfererKind.bls if choice.provider == "cuda" else InfererKind.onnxruntime
    if asked is not InfererKind.bls and (asked is InfererKind.tensorrt) is not (
        choice.target is not Target.onnxruntime
    ):
        raise ServeError(f"--inferer {asked.value} is not for the backend {choice.target.value}")
    return asked


def _gateway_beside(url: str, policy: Policy, *, without_liveness: bool) -> Companion:
    """Returns a gateway to the Triton at `url` with that server's `policy`; the environment has its other options."""
    from facegate.serve.companion import Companion

    environment = {
        "FACEGATE_GATEWAY_MAX_THRESHOLD": str(policy.max_threshold),
        **os.environ,
        "FACEGATE_GATEWAY_URL": url,
    }
    if policy.require_liveness:
        environment["FACEGATE_GATEWAY_REQUIRE_LIVENESS"] = "true"
    if without_liveness:
        environment["FACEGATE_GATEWAY_WITHOUT_LIVENESS"] = "true"
    return Companion("gateway", [sys.executable, "-m", "facegate", "gateway"], environment, say, _probed())


def _probed() -> tuple[str, int]:
    """The address at which a gateway with this environment answers /healthz."""
    host = os.environ.get("FACEGATE_GATEWAY_HOST") or DEFAULT_HOST
    port = os.environ.get("FACEGATE_GATEWAY_PROBE_PORT") or DEFAULT_PROBE_PORT
    try:
        return of_this_machine(host), int(port)
    except ValueError:
        raise ServeError(f"FACEGATE_GATEWAY_PROBE_PORT: expected a port, got {port!r}") from None
