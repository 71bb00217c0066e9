"""The commands `facegate packs`, `facegate packs check` and `facegate fetch`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from facegate.build.paths import BUILD
from facegate.cli.console import one_line, packages_for, say
from facegate.cli.options import DEFAULT_PACK, PACK_HELP, AcceptLicense
from facegate.errors import PackError
from facegate.packs.shipped import pack_named, shipped_packs

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def packs(context: typer.Context) -> None:
    """The packs there are: what is in them, under which licence, how large they are and what is here already."""
    if context.invoked_subcommand is not None:
        return
    with one_line():
        with packages_for("build"):
            from facegate.build.build import cache, weight_files
            from facegate.build.weights.fetch import is_here
        table = Table("pack", "nets", "licence", "commercial use", "MB", "here", box=None, pad_edge=False)
        notes = []
        for name in shipped_packs():
            pack = pack_named(name)
            files = weight_files(pack)
            size = sum(file.size or 0 for file in files.values())
            here = sum(is_here(each, file, cache(pack)) for each, file in files.items())
            allowed = "yes" if pack.commercial_use else "no: --accept-license"
            table.add_row(
                name, pack.description, pack.licence, allowed, f"{size / 1e6:.0f}", f"{here} of {len(files)} files"
            )
            notes += [f"{name}: {each} was never run here: {f.never_run}" for each, f in files.items() if f.never_run]
        Console(width=None if sys.stdout.isatty() else 200).print(table)
        print(*notes, sep="\n")


@app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The pack's TOML.")],
    picture: Annotated[
        list[Path] | None, typer.Option(help="A picture with a face, for the proof; may be given several times.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png", help="The contact sheet; build/packs/<name>.png where not given."),
    ] = None,
    accept_license: AcceptLicense = False,
) -> None:
    """Say what is wrong with a pack, field by field; or prove its nets and draw what each of them is fed."""
    with one_line():
        with packages_for("build"):
            from facegate.build.check import check
        try:
            pack = pack_named(str(file))
            drawn = sheet or BUILD / "packs" / f"{pack.name}.png"
            check(pack, picture or [], drawn, accept_license=accept_license, say=say)
        except PackError as error:
            _explain(file, error)
        consent = "" if pack.commercial_use else " --accept-license"
        say(f"{pack.name} is sound; look at {os.path.relpath(drawn)}, then: facegate serve --pack {file}{consent}")


def _explain(file: Path, error: PackError) -> NoReturn:
    """Each fault on a line of its own, then the end; an error without such a list is raised again."""
    if not error.faults:
        raise error
    for fault in error.faults:
        say(f"{file}: {fault}")
    raise SystemExit(1)


def fetch(
    pack: Annotated[str, typer.Argument(envvar="FACEGATE_PACK", help=PACK_HELP)] = DEFAULT_PACK,
    accept_license: AcceptLicense = False,
) -> None:
    """Bring a pack's weights and the sample pictures to build/, each checked by its SHA-256.

    FACEGATE_MIRROR, a directory or an address, is asked first.
    """
    with one_line():
        with packages_for("build"):
            from facegate.build.build import fetch_pack
        fetch_pack(pack_named(pack), accept_license=accept_license)
