"""The commands `facegate gallery export` and `facegate gallery import`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from facegate.cli.console import one_line, packages_for, say
from facegate.cli.environment import GALLERY_KEY
from facegate.cli.gateway import DEFAULT_GALLERY, check_gallery
from facegate.errors import ServeError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Export and import the people whom the gateway remembers.",
)

Location = Annotated[
    str,
    typer.Option(
        "--gallery",
        envvar="FACEGATE_GATEWAY_GALLERY",
        help=f"A file, or postgresql://user@host/database. {GALLERY_KEY} has the key of a sealed one.",
    ),
]


@app.command("export")
def export_command(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to: JSON Lines. Replaces an earlier export and no other file.")
    ],
    gallery: Location = DEFAULT_GALLERY,
) -> None:
    """Write everybody with all embeddings to a file, also while a gateway serves them."""
    with _in_one_line():
        with packages_for("gateway"):
            from facegate.gateway.gallery.exporting import export_people
            from facegate.gateway.gallery.open import open_source

        check_gallery(context, gallery)
        with closing(open_source(gallery, os.environ.get(GALLERY_KEY))) as source:
            done = export_people(source, file)
        say(f"{file}: {done.people} people with {done.photos} photos, NOT encrypted: keep it as you keep the gallery")


@app.command("import")
def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="What export wrote.")],
    gallery: Location = DEFAULT_GALLERY,
) -> None:
    """Add everybody of a file who is not in the gallery yet; a missing gallery is created.

    A gateway must not serve a gallery in a file at the same time.
    """
    with _in_one_line():
        with packages_for("gateway"):
            from facegate.gateway.gallery.importing import import_people
            from facegate.gateway.gallery.open import open_destination

        check_gallery(context, gallery)
        with closing(open_destination(gallery, os.environ.get(GALLERY_KEY))) as destination:
            added, there = import_people(destination, file)
        say(f"{added} people added, {there} were there already")
        if file.stat().st_mode & 0o077:
            say(f"{file}: other users may be able to read these embeddings, which are not encrypted: chmod 600 {file}")


@contextmanager
def _in_one_line() -> Iterator[None]:
    with one_line():
        with packages_for("gateway"):
            from facegate.gateway.errors import GatewayError
        try:
            yield
        except GatewayError as error:
            raise ServeError(str(error)) from error
