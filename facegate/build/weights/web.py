"""Files from the web: from an http(s) mirror, from their own addresses, from those of their zips or alternatives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rich.progress import Progress

from facegate.build.weights.archive import extract
from facegate.build.weights.arrival import Build, accept, builds, part_of, right, sized
from facegate.build.weights.download import Downloader, Unavailable, shown
from facegate.build.weights.mirror import is_address
from facegate.packs.pack_file import WeightFile

Files = Mapping[str, WeightFile]
OTHER = ".alternative"


@dataclass(frozen=True)
class Web:
    """Brings files into the cache, and returns lines on what cannot be had: every address with its reason."""

    cache: Path
    mirror: str
    downloader: Downloader
    bars: Progress

    def bring(self, name: str, want: WeightFile) -> list[str]:
        """One file of its own address."""
        try:
            if self._mirrored(name, want):
                return []
        except Unavailable as error:  # a mirror in trouble is not gone around
            return [fault(name, want, error)]
        try:
            self._take(str(want.url), name, want, want.size)
        except Unavailable as error:
            failed, lines = self._alternatives({name: want})
            return [fault(name, want, error), *lines] if failed else []
        return []

    def bring_zipped(self, name: str, bundle: WeightFile, members: Files) -> list[str]:
        """The members of one zip, which is deleted again."""
        local, lacking = self.cache / name, members
        try:
            lacking = {member: want for member, want in members.items() if not self._mirrored(member, want)}
            # It is in the cache where a run was stopped before it had unpacked it.
            here = not lacking or right(local, bundle) or self._mirrored(name, bundle)
        except Unavailable as error:
            return [fault(name, bundle, error, lacking)]
        try:
            if not here:
                self._take(str(bundle.url), name, bundle, bundle.size)
        except Unavailable as error:
            failed, lines = self._alternatives(lacking)
            return [fault(name, bundle, error, failed), *lines] if failed else []
        if lacking:
            try:
                extract(local, lacking, self.cache)
            finally:
                local.unlink()
        return []

    def _alternatives(self, files: Files) -> tuple[list[str], list[str]]:
        """Take the alternatives of `files`. Returns the files still lacking, and lines on why theirs are."""
        failed, lines = [], []
        for name, want in files.items():
            if (other := want.alternative) is None:
                failed.append(name)
                continue
            try:
                self._take(str(other.url), name, want, other.size, OTHER)
            except Unavailable as error:
                failed.append(name)
                lines.append(fault(f"{name}'s alternative", other, error))
        return failed, lines

    def _mirrored(self, name: str, want: WeightFile) -> bool:
        """Whether it came from an http(s) mirror. Raises Unavailable when that has another fault than to lack it."""
        if not is_address(self.mirror):
            return False
        sizes = {build.size for build in builds(want)}  # either build may be there
        try:
            self._take(f"{self.mirror.rstrip('/')}/{quote(name)}", name, want, sizes.pop() if len(sizes) == 1 else None)
        except Unavailable as error:
            if error.status != 404:
                raise Unavailable(f"the mirror {shown(self.mirror)}: {error}") from error
            return False
        return True

    def _take(self, url: str, name: str, want: WeightFile, size: int | None, kind: str = "") -> None:
        """Download into the cache what has to be `want`; an OTHER `kind` of it has a leftover of its own to resume."""
        part, bar = part_of(self.cache, name + kind), self.bars.add_task(name, total=size)

        def get() -> str:
            return self.downloader.download(url, part, size, lambda done: self.bars.update(bar, completed=done))

        resumed = part.exists()
        try:
            origin = get()
            if resumed and not right(part, want):  # the leftover may have been of another version of the file
                part.unlink()
                origin = get()
        except Unavailable:
            self.bars.remove_task(bar)
            raise
        accept(part, self.cache / name, want, origin)


def fault(name: str, build: Build, reason: Unavailable, held: Collection[str] = ()) -> str:
    """The line on a file, or a zip and what it `held`, that its address did not give."""
    inside = f", which holds {' and '.join(held)}," if held else ""
    return f"  {name}{sized(build)}{inside} from {shown(str(build.url))}: {reason}"
