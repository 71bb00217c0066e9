"""Takes docs/page.md's pictures: python -m tests.facegate.gateway.page.screenshots, in a checkout with Chromium.

The faces are those of facegate/packs/samples.toml, whose licence is Apache-2.0.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[4]
sys.path.insert(0, str(ROOT / "tests"))  # where pytest finds support too

from PIL import Image  # noqa: E402
from playwright.sync_api import Browser  # noqa: E402

from facegate.build.build import fetch_pack  # noqa: E402
from facegate.packs.shipped import pack_named  # noqa: E402
from support.browser import Watched, browser, chromium, film_of  # noqa: E402
from support.gateway import gateway  # noqa: E402
from support.page import View, compare_view  # noqa: E402
from support.serving import serving  # noqa: E402

OUT = ROOT / "docs" / "pictures"
COLOURS = 256
"""A palette makes a picture of a face a third as large, and no difference that one sees at this size."""


def main() -> None:
    """Every picture of docs/page.md."""
    program = chromium()
    if program is None:
        sys.exit("no Chromium; name one in $CHROMIUM")
    samples = fetch_pack(pack_named("mobileface"))
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        with (
            serving(scratch / "triton") as triton,
            gateway(scratch / "gateway", triton.grpc) as running,
            browser(program, film_of(samples["image_T1.jpg"], scratch / "film.y4m")) as opened,
        ):
            taken(opened, running.base, samples)


def taken(opened: Browser, base: str, samples: dict[str, Path]) -> None:
    live, spoof = samples["image_T1.jpg"], samples["image_F2.jpg"]
    wide = {"viewport": {"width": 1000, "height": 700}, "reduced_motion": "reduce"}
    with opened.new_context(**wide) as context:  # type: ignore[arg-type]
        watched = Watched(context.new_page(), base)
        compare_view(watched, live, spoof).go()
        shot(watched, "page-veto")
        view = compare_view(watched, live)
        view.take(1)
        view.go()
        shot(watched, "page-verified")
        page = watched.open("people")
        enrol = View.of(page, "#enrol")
        enrol.give(live)
        enrol.root.get_by_label("Name").fill("Ada Example")
        enrol.root.get_by_label("Labels").fill("team: night")
        enrol.go()
        identify = View.of(page, "#identify")
        identify.give(live)
        identify.go()
        shot(watched, "page-people")
    phone = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "reduced_motion": "reduce"}
    with opened.new_context(**phone) as context:  # type: ignore[arg-type]
        watched = Watched(context.new_page(), base)
        compare_view(watched, live, spoof).go()
        shot(watched, "page-phone")


def shot(watched: Watched, name: str) -> None:
    watched.page.wait_for_load_state("networkidle")
    watched.page.wait_for_timeout(300)  # for the landmarks, which come last
    watched.page.evaluate("document.activeElement.blur()")
    file = OUT / f"{name}.png"
    watched.page.screenshot(path=file, full_page=True)
    Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)


if __name__ == "__main__":
    main()
