"""The commands `faceclient people`: whom a gateway remembers.

Exit status as of `faceclient`: 0 done, or identified; 1 nobody who is remembered; 2 an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegate_client.cli.options import (
    AntiSpoofing,
    Timeout,
    TlsCa,
    TlsCertificate,
    TlsKey,
    WhichFace,
    errors_in_a_line,
)
from facegate_client.errors import printable
from facegate_client.transport.base import Tls

if TYPE_CHECKING:
    from facegate_client.service import FaceServiceClient, Identification, Person

NOBODY = 1
API_KEY = "FACEGATE_API_KEY"

people = typer.Typer(
    help="Remember people, and say whose face an image shows. Needs a gateway; its key, if any, is FACEGATE_API_KEY.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Gateway = Annotated[
    str, typer.Option(envvar="FACEGATE_PEOPLE_URL", metavar="HOST:PORT", help="The gateway's gRPC address.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object; null is 'not checked'.")]
DEFAULT_GATEWAY = "localhost:50051"


@people.command()
def enroll(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Image files of one person, 1 to 16.")],
    name: Annotated[str, typer.Option(help="Of a new person.")] = "",
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of a new person.")] = None,
    person: Annotated[str, typer.Option(metavar="ID", help="Instead: more photos of this person.")] = "",
    anti_spoofing: AntiSpoofing = False,
    several_faces: WhichFace = None,
    gateway: Gateway = DEFAULT_GATEWAY,
    timeout: Timeout = 10.0,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Enroll a person by photos of their face, all of them or none; prints their id.

    A photo of several faces is refused, unless --several-faces selects one.
    """
    with _client(gateway, timeout, (tls_ca, tls_certificate, tls_key)) as client:
        if bool(name) == bool(person):
            raise ValueError("expected either --name of a new person, or --person")
        if person:
            done = client.add_photos(person, photos, anti_spoofing=anti_spoofing, several_faces=several_faces)
        else:
            done = client.enroll(
                photos,
                name=name,
                labels=dict(map(_label, label or ())),
                anti_spoofing=anti_spoofing,
                several_faces=several_faces,
            )
        typer.echo(done.person.id)


@people.command()
def identify(
    image: Annotated[Path, typer.Argument(metavar="IMG", help="An image file.")],
    threshold: Annotated[
        float | None, typer.Option(help="Cosine distance, in (0, 2], below which one is meant.")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="How much nearer than the second the first must be.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="How many people to tell of.")] = None,
    anti_spoofing: AntiSpoofing = False,
    several_faces: WhichFace = None,
    gateway: Gateway = DEFAULT_GATEWAY,
    timeout: Timeout = 10.0,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    as_json: AsJson = False,
) -> None:
    """Whose face is this? Exit status 0: one who is remembered; 1: nobody, or not live; 2: an error.

    Of several faces the largest is identified, unless --several-faces says otherwise.
    """
    with _client(gateway, timeout, (tls_ca, tls_certificate, tls_key)) as client:
        found = client.identify(
            image,
            threshold=threshold,
            margin=margin,
            top_k=top_k,
            anti_spoofing=anti_spoofing,
            several_faces=several_faces,
        )
        typer.echo(json.dumps(found.as_dict(), allow_nan=False) if as_json else describe(found, margin))
    if found.person is None:
        raise typer.Exit(NOBODY)


@people.command()
def forget(
    person: Annotated[str, typer.Argument(metavar="ID", help="Whom.")],
    gateway: Gateway = DEFAULT_GATEWAY,
    timeout: Timeout = 10.0,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Delete a person and all of their photos' embeddings, for good."""
    with _client(gateway, timeout, (tls_ca, tls_certificate, tls_key)) as client:
        client.forget(person)


@people.command("list")
def list_people(
    gateway: Gateway = DEFAULT_GATEWAY,
    timeout: Timeout = 10.0,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Who is remembered, a person a line."""
    with _client(gateway, timeout, (tls_ca, tls_certificate, tls_key)) as client:
        for person in client.people():
            typer.echo(json.dumps(person.as_dict()) if as_json else _line(person))


@contextmanager
def _client(
    gateway: str, timeout: float, tls: tuple[Path | None, Path | None, Path | None]
) -> Iterator[FaceServiceClient]:
    with errors_in_a_line(unreachable="start one with 'facegate serve --gateway', or name it with --gateway"):
        from facegate_client.service import FaceServiceClient

        key = os.environ.get(API_KEY) or None
        with FaceServiceClient(gateway, api_key=key, timeout_s=timeout, tls=Tls(*tls) if any(tls) else None) as client:
            yield client


def describe(found: Identification, margin: float | None) -> str:
    """Who it is, or why nobody, then a person a line. `margin` is what was asked for."""
    lines = [_verdict(found, margin)]
    lines += [f"{each.person.name} ({each.person.id}): distance {each.distance:.4f}" for each in found.matches]
    lines.append(f"threshold {found.threshold:.4f}")
    if found.face_count is not None and found.face_count > 1:
        lines.append(f"{found.face_count} faces, of which one was identified")
    if found.is_real is None:
        lines.append("liveness not checked")
    else:
        lines.append(f"{'live' if found.is_real else 'not live'} (P(real) {found.antispoof_score:.2f})")
    return "\n".join(printable(line, joiners=True) for line in lines)


def _verdict(found: Identification, margin: float | None) -> str:
    if found.person is not None:
        return f"identified: {found.person.name}"
    if found.is_real is False:
        return "not identified: the face is not live"
    if found.ambiguous:
        return f"not identified: two people are {'within the margin' if margin else 'equally near'}"
    return "not identified: nobody who is remembered"


def _line(person: Person) -> str:
    labels = " ".join(f"{name}={value}" for name, value in person.labels.items())
    photos = f"{person.photos} photo{'' if person.photos == 1 else 's'}"
    since = f"since {person.registered_at:%Y-%m-%d %H:%M} UTC"
    return printable(f"{person.id} {person.name}, {photos}, {since} {labels}", joiners=True).rstrip()


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--label: expected NAME=VALUE, got {text!r}")
    return name, value
