"""The command line `faceclient`.

Exit status: 0 verified, or analysed; 1 not verified; 2 an error, usage included, with one line on stderr. Nothing that
goes wrong ends with 1. With --json, stdout is one JSON object, in which null means "not checked" or "not asked for".
The answer is printed before --draw draws: where drawing fails, it is there, and the status is 2.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from facegate_client import __version__
from facegate_client.cli.options import (
    ERROR,
    AntiSpoofing,
    HowReached,
    Local,
    Protocol,
    Timeout,
    TlsCa,
    TlsCertificate,
    TlsKey,
    Url,
    WhichFace,
    errors_in_a_line,
    log_on_stderr,
)
from facegate_client.cli.people import people
from facegate_client.client import FaceClient
from facegate_client.draw import annotate, decode, encode, side_by_side
from facegate_client.errors import printable
from facegate_client.images import read_image_file
from facegate_client.results import Box, Faces, Verification
from facegate_client.transport.base import Tls

NOT_VERIFIED = 1

app = typer.Typer(
    help="Ask a FaceGate server. Exit status: 0 verified or analysed, 1 not verified, 2 error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # usage errors as plain lines
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object; null is 'not checked'.")]


@app.command()
def verify(
    a: Annotated[Path, typer.Argument(metavar="A", help="An image file.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    threshold: Annotated[
        float | None, typer.Option(help="Cosine distance, in (0, 2], below which two faces are one person's.")
    ] = None,
    anti_spoofing: AntiSpoofing = False,
    several_faces: WhichFace = None,
    url: Url = None,
    protocol: HowReached = Protocol.grpc,
    timeout: Timeout = 10.0,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    local: Local = False,
    as_json: AsJson = False,
    out: Annotated[
        Path | None, typer.Option("--draw", metavar="OUT.png", help="Write both pictures, the compared faces marked.")
    ] = None,
) -> None:
    """Do two images show the same person? Exit status 0: yes; 1: no, or a face is not live; 2: an error."""
    tls = tls_ca, tls_certificate, tls_key
    with errors_in_a_line([a, b]), _client(url, protocol, timeout, tls, local) as client:
        result = client.verify(a, b, threshold=threshold, anti_spoofing=anti_spoofing, several_faces=several_faces)
        if several_faces is None:
            _note_several_faces({a: result.face_count_1, b: result.face_count_2})
        _print(result.as_dict() if as_json else describe_verification(result))
        if out is not None:
            pair = [(a, result.box_1), (b, result.box_2)]
            out.write_bytes(encode(_draw_pair(client, pair, anti_spoofing), out.suffix))
    if not result:
        raise typer.Exit(NOT_VERIFIED)


def _note_several_faces(face_counts: dict[Path, int | None]) -> None:
    """One line on stderr where the server chose between faces and the caller did not."""
    several = [
        f"{image} shows {count} faces" for image, count in face_counts.items() if count is not None and count > 1
    ]
    if several:
        line = f"{' and '.join(several)}, one of which was compared; --several-faces selects which"
        sys.stderr.write(f"faceclient: {printable(line)}\n")


def _draw_pair(client: FaceClient, images: list[tuple[Path, Box]], anti_spoofing: bool) -> NDArray[np.uint8]:
    """Both pictures with the compared face, by its box. A verdict has no landmarks, so faces are requested again."""
    drawn = []
    for image, box in images:
        data = read_image_file(image)
        faces = client.analyze(data, anti_spoofing=anti_spoofing, embeddings=False)
        nearest = sorted(faces, key=lambda face: sum(abs(a - b) for a, b in zip(face.box, box, strict=True)))
        drawn.append(annotate(decode(data, str(image)), nearest[:1]))
    return side_by_side(*drawn)


@app.command()
def analyze(
    image: Annotated[Path, typer.Argument(metavar="IMG", help="An image file.")],
    anti_spoofing: AntiSpoofing = False,
    min_score: Annotated[float | None, typer.Option(help="Leave out faces detected with less than this, 0-1.")] = None,
    max_faces: Annotated[int | None, typer.Option(help="At most so many faces, the best-detected.")] = None,
    several_faces: WhichFace = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Compute embeddings too, for --json.")] = False,
    url: Url = None,
    protocol: HowReached = Protocol.grpc,
    timeout: Timeout = 10.0,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    local: Local = False,
    as_json: AsJson = False,
    out: Annotated[
        Path | None, typer.Option("--draw", metavar="OUT.png", help="Write the picture with its faces marked.")
    ] = None,
) -> None:
    """Which faces does an image show? Exit status 0, with faces or without; 2: an error."""
    tls = tls_ca, tls_certificate, tls_key
    with errors_in_a_line([image]), _client(url, protocol, timeout, tls, local) as client:
        data = read_image_file(image)
        faces = client.analyze(
            data,
            anti_spoofing=anti_spoofing,
            embeddings=embeddings,
            min_score=min_score,
            max_faces=max_faces,
            several_faces=several_faces,
        )
        _print(faces.as_dict() if as_json else describe_faces(faces))
        if out is not None:
            out.write_bytes(encode(annotate(decode(data, str(image)), faces), out.suffix))


app.add_typer(people, name="people")


@app.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def camera(context: typer.Context) -> None:
    """Says where the command of this name went."""
    sys.stderr.write(
        "faceclient: the command 'faceclient camera' is now 'facegate camera': pip install 'facegate[camera]'\n"
    )
    raise typer.Exit(ERROR)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"faceclient {__version__}")
        raise typer.Exit


@app.callback()
def _faceclient(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@contextmanager
def _client(
    url: str | None, protocol: Protocol, timeout: float, tls: tuple[Path | None, Path | None, Path | None], local: bool
) -> Iterator[FaceClient]:
    with (
        log_on_stderr(),
        FaceClient(
            url,
            protocol=protocol.value,
            timeout_s=timeout,
            tls=Tls(*tls) if any(tls) else None,
            fallback="local" if local else None,
        ) as client,
    ):
        yield client


def describe_verification(result: Verification) -> str:
    """The verdict and its reason in words, then one fact a line."""
    lines = [_verdict(result)]
    lines.append(f"distance {result.distance:.4f}, threshold {result.threshold:.4f}")
    lines.append(f"confidence {result.confidence:.1f} of 100")
    if result.is_real_1 is None:
        lines.append("liveness not checked")
    else:
        lines.append(_liveness("image 1", result.is_real_1, result.antispoof_score_1))
        lines.append(_liveness("image 2", result.is_real_2, result.antispoof_score_2))
    lines.append(f"{result.processing_time_ms:.1f} ms in {'this process' if result.model.local else 'the server'}")
    return "\n".join(lines)


def describe_faces(faces: Faces) -> str:
    """How many, then one face a line."""
    count = len(faces) if faces.face_count is None else faces.face_count
    lines = [f"{count} face{'' if count == 1 else 's'}{', of which one was selected' if count > len(faces) else ''}"]
    for number, face in enumerate(faces, 1):
        box = " ".join(f"{value:.0f}" for value in face.box)
        checked = "liveness not checked" if face.is_real is None else _liveness("", face.is_real, face.antispoof_score)
        lines.append(f"face {number}: box {box}, score {face.score:.3f}, {checked}")
    return "\n".join(lines)


def _verdict(result: Verification) -> str:
    if result:
        return "verified: the same person"
    scores = {1: result.antispoof_score_1, 2: result.antispoof_score_2}
    vetoes = [f"image {image} is not live (P(real) {scores[image]:.2f})" for image in result.not_live]
    reasons = ["the faces are not the same person's"] if result.distance >= result.threshold else []
    return "not verified: " + " and ".join(vetoes + reasons)


def _liveness(where: str, is_real: bool | None, score: float | None) -> str:
    return f"{where} {'live' if is_real else 'not live'} (P(real) {score:.2f})".strip()


def _print(what: dict[str, Any] | str) -> None:
    typer.echo(what if isinstance(what, str) else json.dumps(what, allow_nan=False))
