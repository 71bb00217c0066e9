"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_PACK = "mobileface"

PACK_HELP = "The model pack: a name that `facegate packs` lists, or the path of your own .toml."
PackName = Annotated[str, typer.Option("--pack", envvar="FACEGATE_PACK", help=PACK_HELP)]
AcceptLicense = Annotated[
    bool,
    typer.Option(
        "--accept-license",
        envvar="FACEGATE_ACCEPT_LICENSE",
        help="You have read the pack's licence, and your use is within it: for packs that forbid commercial use.",
    ),
]
WithoutLiveness = Annotated[
    bool,
    typer.Option(
        "--without-liveness",
        envvar="FACEGATE_WITHOUT_LIVENESS",
        help="Leave the liveness nets out: a request for anti_spoofing is then refused.",
    ),
]
