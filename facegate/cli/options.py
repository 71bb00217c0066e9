"""Options that several commands have."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from facegate.build.target import Size
from facegate.errors import EngineError

DEFAULT_PACK = "mobileface"


class Backend(str, Enum):
    """What runs the models."""

    auto = "auto"
    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt-rtx"
    onnxruntime = "onnxruntime"


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
REQUIRE_LIVENESS_HELP = "Refuse a {requests} that does not set anti_spoofing."
MAX_THRESHOLD_HELP = (
    "The largest cosine distance that a request may set as its threshold. The pack's own threshold must not be larger."
)
Pictures = Annotated[
    Path | None,
    typer.Option(
        "--pictures",
        metavar="DIR",
        envvar="FACEGATE_PICTURES",
        exists=True,
        file_okay=False,
        help="Pictures with faces, the more like your cameras' the better: what was built is judged on them. "
        "Where not given: images/ of FACEGATE_MIRROR, else three sample pictures.",
    ),
]


def detector_sizes(text: str | None) -> list[Size | None]:
    """Every height and width in "HxW,HxW". Raises EngineError for another form."""
    if text is None:
        return [None]
    sizes: list[Size | None] = []
    for each in text.split(","):
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", each.strip())
        if match is None:
            raise EngineError(f"--detector-size {text}: wanted is height x width in pixels, such as 480x640")
        sizes.append((int(match[1]), int(match[2])))
    return sizes
