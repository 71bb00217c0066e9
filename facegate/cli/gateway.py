"""The command `facegate gateway`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from facegate.cli.console import one_line, packages_for, say
from facegate.cli.environment import API_KEYS, GALLERY_KEY
from facegate.cli.options import MAX_THRESHOLD_HELP, REQUIRE_LIVENESS_HELP
from facegate.errors import ServeError
from facegate_client import contract
from facegate_ensemble.policy import Policy

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PROBE_PORT = 8081
DEFAULT_GALLERY = "~/.local/share/facegate/people.db"


_PASSWORD = re.compile(r"postgres(ql)?://([^/@]*:[^/@]*@|.*[?&]password=)")


def _named(name: str, **details: Any) -> Any:
    return typer.Option(f"--{name}", envvar=f"FACEGATE_GATEWAY_{name.upper().replace('-', '_')}", **details)


def gateway(
    context: typer.Context,
    url: Annotated[
        str, _named("url", help="Triton: host:port of its gRPC, or http://host:port of its HTTP.")
    ] = "127.0.0.1:8001",
    host: Annotated[
        str, _named("host", help="The address to bind. 0.0.0.0 serves every machine that can reach this one.")
    ] = DEFAULT_HOST,
    grpc_port: Annotated[int, _named("grpc-port", min=1, max=65535)] = 50051,
    http_port: Annotated[int, _named("http-port", min=1, max=65535)] = 8080,
    probe_port: Annotated[
        int, _named("probe-port", min=1, max=65535, help="/healthz, /readyz and /metrics alone, over plain HTTP.")
    ] = DEFAULT_PROBE_PORT,
    gallery: Annotated[
        str, _named("gallery", help="Where people are remembered: a file, or postgresql://user@host/database.")
    ] = DEFAULT_GALLERY,
    gallery_must_exist: Annotated[
        bool,
        _named(
            "gallery-must-exist",
            help="Do not start where the gallery is missing or empty, as when its volume is not mounted.",
        ),
    ] = False,
    timeout: Annotated[
        float, _named("timeout", min=0.1, max=300, help="Seconds after which a caller gets no answer.")
    ] = 30.0,
    api_keys_file: Annotated[
        Path | None,
        _named(
            "api-keys-file",
            exists=True,
            dir_okay=False,
            help=f"Who may call: a name and a key in each line. Or name:key,name:key in {API_KEYS}.",
        ),
    ] = None,
    without_keys: Annotated[
        bool,
        _named("without-keys", help="Serve other machines without keys: whoever reaches the ports may do everything."),
    ] = False,
    rate: Annotated[
        float | None,
        _named("rate", min=0.01, help="Requests a second of one key; more are told to wait. Any where not given."),
    ] = None,
    concurrency: Annotated[
        int, _named("concurrency", min=1, help="Requests under way at a time; one more is told to come again.")
    ] = 64,
    concurrency_per_key: Annotated[
        int, _named("concurrency-per-key", min=1, help="The same of one key, so that nobody keeps all others out.")
    ] = 32,
    max_body_bytes: Annotated[
        int | None,
        _named("max-body-bytes", min=1024, help="A larger request is refused unread. Two full images where not given."),
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        _named(
            "tls-certificate", exists=True, dir_okay=False, help="Both protocols speak TLS with this certificate (PEM)."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, _named("tls-key", exists=True, dir_okay=False, help="The certificate's key (PEM).")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        _named(
            "tls-client-ca",
            exists=True,
            dir_okay=False,
            help="Only callers with a certificate of this authority (PEM) are served.",
        ),
    ] = None,
    triton_tls_ca: Annotated[
        Path | None,
        _named(
            "triton-tls-ca",
            exists=True,
            dir_okay=False,
            help="Triton's gRPC speaks TLS; this authority vouches for it.",
        ),
    ] = None,
    triton_tls_certificate: Annotated[
        Path | None,
        _named("triton-tls-certificate", exists=True, dir_okay=False, help="What the gateway shows to Triton (PEM)."),
    ] = None,
    triton_tls_key: Annotated[
        Path | None, _named("triton-tls-key", exists=True, dir_okay=False, help="That certificate's key (PEM).")
    ] = None,
    require_liveness: Annotated[
        bool,
        _named(
            "require-liveness",
            help=REQUIRE_LIVENESS_HELP.format(requests="verification, an identification or an enrolment"),
        ),
    ] = False,
    max_threshold: Annotated[
        float,
        _named(
            "max-threshold",
            min=contract.LEAST_THRESHOLD,
            max=contract.MAX_THRESHOLD,
            help=MAX_THRESHOLD_HELP,
        ),
    ] = contract.MAX_THRESHOLD,
    cors_origin: Annotated[
        list[str] | None,
        _named(
            "cors-origin", help="A web page's origin, such as https://desk.example, that may call. None if not given."
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        _named(
            "allowed-host",
            help="Without keys and client certificates: a host name that callers may use for this gateway, besides "
            "localhost and IP addresses; a Service's or a proxy's. May be repeated.",
        ),
    ] = None,
    without_liveness: Annotated[
        bool,
        _named(
            "without-liveness", help="Be ready although the server has no liveness models; anti_spoofing is refused."
        ),
    ] = False,
    image_host: Annotated[
        list[str] | None,
        _named("image-host", help="A host that pictures may be fetched from by their address. None where not given."),
    ] = None,
) -> None:
    """Serve FaceService, LocalAI's wire, REST and a page in front of Triton until Ctrl-C or SIGTERM.

    Every option is also an environment variable. Keys are never options: other users of the machine see those.
    """
    with one_line():
        with packages_for("gateway"):
            from facegate.cli import gateway_options as options
            from facegate.gateway import running
            from facegate.gateway.door.door import Limits
            from facegate.gateway.settings import MAX_BODY_BYTES, Settings
        if require_liveness and without_liveness:
            raise ServeError("--require-liveness contradicts --without-liveness")
        check_gallery(context, gallery)
        settings = Settings(
            triton=options.triton_url(url),
            triton_tls=options.triton_tls(url, triton_tls_ca, triton_tls_certificate, triton_tls_key),
            host=host,
            grpc_port=grpc_port,
            http_port=http_port,
            probe_port=probe_port,
            timeout_s=timeout,
            gallery=gallery,
            gallery_key=os.environ.get(GALLERY_KEY),
            gallery_must_exist=gallery_must_exist,
            keys=options.keys(os.environ, api_keys_file),
            tls=options.server_tls(tls_certificate, tls_key, tls_client_ca),
            limits=Limits(concurrency, concurrency_per_key, rate),
            max_body_bytes=MAX_BODY_BYTES if max_body_bytes is None else max_body_bytes,
            image_hosts=tuple(image_host or ()),
            cors_origins=tuple(cors_origin or ()),
            allowed_hosts=tuple(allowed_host or ()),
            without_liveness=without_liveness,
            policy=Policy(require_liveness, max_threshold),
        )
        options.check_openness(settings, without_keys=without_keys)
        running.run(settings, say)


def check_gallery(context: typer.Context, gallery: str) -> None:
    """Raises ServeError for a database's password on the command line."""
    source = context.get_parameter_source("gallery")
    if source is not None and source.name == "COMMANDLINE" and _PASSWORD.match(gallery):
        raise ServeError(
            "--gallery: a password on a command line is visible to every user of this machine: give the address in "
            "FACEGATE_GATEWAY_GALLERY, or the password in PGPASSWORD or ~/.pgpass"
        )
