"""A folder of pictures, as if they were a video."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from facegate.cameras.frame import Frame, SourceError
from facegate.cameras.sources.notices import SourceNotices
from facegate.cameras.sources.shaping import squared, turned_and_cut
from facegate.cameras.sources.spec import SourceSpec
from facegate_client.errors import BadImage, printable
from facegate_client.images import read_image_file
from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.image import decode

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
DEFAULT_FPS = 10.0
_TOLD = 5  # of those that are skipped; the others are counted


class Folder:
    """A `Source` of a folder's own pictures, in the natural order of their names, `fps` of them a second.

    One that cannot be decoded is skipped and takes no time. The first five are told, and how many more there were.
    """

    live = False

    def __init__(self, spec: SourceSpec, notices: SourceNotices) -> None:
        self.name = spec.name
        self._spec = spec
        self._notices = notices
        self._skipped = 0
        self._closing = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """See Source.frames."""
        index = 0
        for path in self._pictures():
            if self._closing.is_set():
                return
            wall_s, read_s = time.time(), time.monotonic()
            try:
                pixels = decode(read_image_file(path, path.name))
                pixels = turned_and_cut(squared(pixels, self._spec.sar), self._spec.rotate, self._spec.roi)
            except BadImage as error:
                self._skip(str(error))
                continue
            except InvalidImage as error:
                self._skip(f"{path.name}: {error}")
                continue
            except SourceError as error:
                raise SourceError(printable(f"{path.name}: {error}")) from error
            yield Frame(index, index / (self._spec.fps or DEFAULT_FPS), wall_s, read_s, pixels)
            index += 1
        if self._skipped > _TOLD:
            self._notices.skipped(f"{self._skipped - _TOLD} more were skipped")
        if not index:
            raise SourceError(f"not one picture in {self._shown} can be decoded")

    def close(self) -> None:
        """See Source.close."""
        self._closing.set()

    @property
    def _shown(self) -> str:
        return printable(self._spec.shown)

    def _skip(self, reason: str) -> None:
        self._skipped += 1
        if self._skipped <= _TOLD:
            self._notices.skipped(f"{printable(reason)}; it is skipped")

    def _pictures(self) -> list[Path]:
        try:
            names = [name for name in os.listdir(self._spec.address) if Path(name).suffix.lower() in SUFFIXES]
        except OSError as error:
            raise SourceError(f"cannot read {self._shown}: {error.strerror}") from error
        pictures = []
        for name in sorted(names, key=natural):
            path = Path(self._spec.address, name)
            if os.path.isfile(path):
                pictures.append(path)
            elif not os.path.isdir(path):
                self._skip(f"{name}: not a file, or a link to none")
        if not pictures:
            raise SourceError(f"no pictures ({', '.join(sorted(SUFFIXES))}) in {self._shown}")
        return pictures


def natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """Sorts 2.jpg before 10.jpg."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name.lower())
    return [(text, int(number or -1)) for text, number in parts], name
