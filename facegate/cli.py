"""The commands `facegate fetch`, `facegate serve` and `build_engines.py`."""

from __future__ import annotations

import os
import secrets
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from engines.build import build, fetch_pack, pack_named
from facegate import packs
from facegate.options import DEFAULT_PACK, PACK_HELP, AcceptLicense, PackName, WithoutLiveness
from facegate.words import one_line, say
from server.errors import ServeError
from server.supervisor import Supervisor
from server.triton import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(packs.app, name="packs")


class Backend(str, Enum):
    """What runs the nets."""

    auto = "auto"
    onnxruntime = "onnxruntime"


class InfererKind(str, Enum):
    """Who runs the nets for the ensemble."""

    auto = "auto"
    onnxruntime = "onnxruntime"
    bls = "bls"


class Target(str, Enum):
    """What the nets are compiled for."""

    onnxruntime = "onnxruntime"


class Precision(str, Enum):
    """The numbers that the nets calculate with."""

    fp32 = "fp32"


@app.command()
def fetch(
    pack: Annotated[str, typer.Argument(envvar="FACEGATE_PACK", help=PACK_HELP)] = DEFAULT_PACK,
    accept_license: AcceptLicense = False,
) -> None:
    """Bring a pack's weights and the sample pictures to build/, each checked by its SHA-256.

    FACEGATE_MIRROR, a directory or an address, is asked first.
    """
    with one_line():
        fetch_pack(pack_named(pack), accept_license=accept_license)


@app.command()
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
    without_liveness: WithoutLiveness = False,
    host: Annotated[
        str,
        typer.Option(
            envvar="FACEGATE_HOST", help="The address to bind. 0.0.0.0 serves every machine that can reach this one."
        ),
    ] = "127.0.0.1",
    grpc_port: Annotated[int, typer.Option(envvar="FACEGATE_GRPC_PORT", min=1, max=65535)] = 8001,
    http_port: Annotated[int, typer.Option(envvar="FACEGATE_HTTP_PORT", min=1, max=65535)] = 8000,
    metrics_port: Annotated[int, typer.Option(envvar="FACEGATE_METRICS_PORT", min=1, max=65535)] = 8002,
    admin_key: Annotated[
        str | None,
        typer.Option(
            envvar="FACEGATE_ADMIN_KEY",
            show_envvar=True,
            help="The key to Triton's shared-memory, repository, trace and logging calls; without one they are closed.",
        ),
    ] = None,
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
    verbose: Annotated[
        bool, typer.Option(envvar="FACEGATE_VERBOSE", help="Triton's own account of what it does.")
    ] = False,
) -> None:
    """Serve a pack by Triton until Ctrl-C or SIGTERM, which lets requests in flight be answered.

    Every option is also an environment variable.
    """
    with one_line():
        if bool(tls_certificate) != bool(tls_key) or (tls_client_ca and not tls_certificate):
            raise ServeError("TLS needs --tls-certificate and --tls-key together; --tls-client-ca goes on top of them")
        chosen = pack_named(pack)
        say(f"pack {chosen.name}: {chosen.description}; {chosen.licence}")
        say(f"backend onnxruntime on the CPU: {_why(backend)}")
        repository = build(chosen, liveness=not without_liveness, accept_license=accept_license, say=say)
        settings = Settings(
            repository=repository,
            backend=Backend.onnxruntime.value,
            inferer=InfererKind.onnxruntime.value if inferer is InfererKind.auto else inferer.value,
            host=host,
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_port=metrics_port,
            admin_key=admin_key or secrets.token_urlsafe(32),
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
            verbose=verbose,
        )
        Supervisor(settings).run()


def _why(backend: Backend) -> str:
    if backend is not Backend.auto:
        return "asked for"
    if Path("/proc/driver/nvidia/version").exists():
        return "this machine has an NVIDIA GPU, BUT IT IS NOT USED: there are no TensorRT plans of this pack"
    return "no NVIDIA driver on this machine"


def build_command() -> None:
    """The command line of build_engines.py."""
    typer.run(_build)


def _build(
    pack: PackName = DEFAULT_PACK,
    target: Annotated[Target, typer.Option(help="What runs the nets.")] = Target.onnxruntime,
    precision: Annotated[Precision, typer.Option(help="The numbers that they calculate with.")] = Precision.fp32,
    accept_license: AcceptLicense = False,
    without_liveness: WithoutLiveness = False,
) -> None:
    """Fetch a pack's weights, bring its nets to their served form, prove it, and assemble build/repository/."""
    with one_line():
        chosen = pack_named(pack)
        repository = build(chosen, liveness=not without_liveness, accept_license=accept_license, say=say)
        print(os.path.relpath(repository))
