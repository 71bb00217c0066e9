"""What a user orders to be built, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facegate.build.repository.stamp import Stamp
from facegate.build.target import Precision, Size, Target
from facegate.build.tensorrt.options import Options
from facegate.packs.pack_file import PackFile
from facegate_ensemble.pack import Net

Progress = Callable[[str, str, int, int], None]
"""Told, while engines are built, of a model, what is done for it, how many steps of that are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built. `max_batch` is the most faces that a net takes at once, and a quarter as many frames; the
    pack's own numbers where None. `models` are those to build, all where empty. The engines are
    judged on `pictures`, a folder, the sample pictures where None; `verify` says whether they are."""

    pack: PackFile
    target: Target
    precision: Precision
    pictures: Path | None = None
    size: Size | None = None
    max_batch: int | None = None
    liveness: bool = True
    options: Options = field(default_factory=Options)
    models: Sequence[str] = ()
    verify: bool = True
    force: bool = False


@dataclass(frozen=True, slots=True)
class Engines:
    """What was made: the stamps of the nets in their order, those of them that were built now, and the repository, or
    None where some nets have not been built yet."""

    stamps: tuple[Stamp, ...]
    fresh: frozenset[str]
    repository: Path | None


def kept_in_fp32(net: Net, precision: Precision) -> tuple[str, ...]:
    """The nodes of a net's served graph that stay in fp32."""
    return () if precision is Precision.fp32 else tuple(getattr(net.keep_fp32, precision.value))
