"""The command `facegate`: its commands have files of their own."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from typer.main import get_command

from facegate.cli import gallery, packs
from facegate.cli.build import build
from facegate.cli.camera import camera
from facegate.cli.console import one_line
from facegate.cli.environment import NO_OPTIONS, check_environment, variables_of
from facegate.cli.gateway import gateway
from facegate.cli.serve import serve
from facegate_client import __version__
from facegate_client.cli.app import app as client

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the help as plain lines: boxes cut the names of options and variables at 80 columns
    context_settings={"max_content_width": 100},
)
app.command()(serve)
app.command()(gateway)
app.command()(camera)
app.command()(build)
app.command()(packs.fetch)
app.add_typer(packs.app, name="packs")
app.add_typer(gallery.app, name="gallery")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"facegate {__version__}")
        raise typer.Exit


@app.callback()
def _facegate(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Face verification with liveness, served by NVIDIA Triton."""
    with one_line():
        check_environment(os.environ, known_variables())


def known_variables() -> set[str]:
    """Returns the FACEGATE_* variables of every option of every command, and `NO_OPTIONS`."""
    return {*NO_OPTIONS, *(name for each in (app, client) for name in variables_of(get_command(each)))}
