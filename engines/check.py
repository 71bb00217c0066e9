"""A pack of one's own, tried before it is served: its files, its graphs, the proof, and what its nets are shown."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

from engines.assemble import assemble
from engines.build import FORM, fetch_pack, parity_line, weight_files
from engines.contact_sheet import contact_sheet, describe
from engines.graphs import GraphError, served_graph
from engines.pack_file import PackError, PackFile
from engines.parity import prove
from ensemble.image import decode


def check(
    pack: PackFile, pictures: Sequence[Path], sheet: Path, *, accept_license: bool, say: Callable[[str], None]
) -> None:
    """Say of every net how it is fed and what its proof found, and write the contact sheet of the first picture.

    `pictures` show faces; without any, the sample pictures are used. Raises PackError, whose `faults` have a line for
    each net that contradicts the pack, FetchError, or ParityError.
    """
    fetched = fetch_pack(pack, accept_license=accept_license)
    built = pack.built({name: fetched[name] for name in weight_files(pack)})
    graphs, faults = {}, []
    for model, net in built.nets.items():
        try:
            graphs[model] = served_graph(built, model, fetched[net.file])
            say(f"{model:16} {describe(net)}, {net.file}: {pack.files[net.file].licence}")
        except GraphError as error:
            faults.append(f"{model}: {error}")
    if faults:
        raise PackError(f"{pack.name}: {'; '.join(faults)}", tuple(faults))
    shown = list(pictures) or [path for name, path in sorted(fetched.items()) if name.endswith(".jpg")][::-1]
    with tempfile.TemporaryDirectory(prefix="facegate-") as scratch:
        repository = Path(scratch) / "repository"
        assemble(built, {}, graphs, FORM, repository)
        for parity in prove(built, fetched, repository, shown):
            say(parity_line(parity))
        image = decode(shown[0].read_bytes())
        drawn = asyncio.run(contact_sheet(built, repository, image))
    sheet.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(sheet), drawn):
        raise OSError(f"the contact sheet cannot be written to {sheet}")
