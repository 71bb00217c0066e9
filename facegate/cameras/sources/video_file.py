"""Video that has an end: a file, or one behind a URL."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from facegate.cameras.frame import Frame, SourceError
from facegate.cameras.sources.decoded import Broken, opened
from facegate.cameras.sources.folder import SUFFIXES
from facegate.cameras.sources.notices import SourceNotices
from facegate.cameras.sources.shaping import Shaping
from facegate.cameras.sources.spec import SourceSpec
from facegate_client.errors import printable


class VideoFile:
    """A `Source` that is read as fast as its frames are taken. Damaged parts are skipped and told."""

    live = False

    def __init__(self, spec: SourceSpec, notices: SourceNotices) -> None:
        self.name = spec.name
        self._spec = spec
        self._shown = printable(spec.shown)
        self._notices = notices
        self._broken = 0
        self._shaping = Shaping(spec, live=False)
        self._closing = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """See Source.frames."""
        if self._spec.kind == "path":
            self._check_file(Path(self._spec.address))
        try:
            with opened(self._spec, live=False) as video:
                for frame in video.frames(self._shaping, self._count_broken):
                    if self._closing.is_set():
                        return
                    if frame is not None:
                        yield frame
                video.check_end()
        except (Broken, SourceError) as error:
            raise SourceError(f"{self._shown}: {error}{self._so_far()}") from error
        if not self._shaping.count:
            raise SourceError(f"{self._shown}: not one frame in it can be decoded")
        if self._broken > 1:
            self._notices.skipped(f"{self._broken} damaged parts were skipped")

    def close(self) -> None:
        """See Source.close. A file behind a URL that does not answer is given up within 10 s."""
        self._closing.set()

    def _check_file(self, path: Path) -> None:
        if path.suffix.lower() in SUFFIXES:
            raise SourceError(f"{self._shown} is a single picture: name its folder, or use 'faceclient analyze'")
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise SourceError(f"{self._shown} is neither a file nor a folder")
            with path.open("rb"):
                pass
        except OSError as error:
            raise SourceError(f"cannot read {self._shown}: {error.strerror}") from error

    def _count_broken(self) -> None:
        self._broken += 1
        if self._broken == 1:
            self._notices.skipped(f"damaged{self._so_far()}; that is skipped")

    def _so_far(self) -> str:
        return f" after frame {self._shaping.count - 1}" if self._shaping.count else ""
