"""The command `facegate build`, which is build_engines.py too."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import progress
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from facegate.build.target import Precision, Target
from facegate.cli.console import one_line, packages_for, say
from facegate.cli.options import DEFAULT_PACK, AcceptLicense, PackName, Pictures, WithoutLiveness, detector_sizes
from facegate.errors import UnfitError
from facegate.packs.shipped import pack_named

if TYPE_CHECKING:
    from facegate.build.order import Engines, Progress
    from facegate.build.repository.stamp import Stamp


def build(
    pack: PackName = DEFAULT_PACK,
    target: Annotated[Target, typer.Option(help="What is to run the nets.")] = Target.onnxruntime,
    precision: Annotated[
        Precision | None,
        typer.Option(
            envvar="FACEGATE_PRECISION",
            help="The numbers that they calculate with; fp16 for TensorRT's and fp32 for ONNX Runtime where not given.",
        ),
    ] = None,
    accept_license: AcceptLicense = False,
    without_liveness: WithoutLiveness = False,
    max_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            help="The most faces that a net takes at once, and a quarter as many frames; else the pack's.",
        ),
    ] = None,
    detector_size: Annotated[
        str | None,
        typer.Option(
            envvar="FACEGATE_DETECTOR_SIZE",
            metavar="HxW[,HxW...]",
            help="What pictures are scaled to for the detector, in multiples of 32; a repository for each. "
            "Smaller is quicker and misses small faces. The pack's own where not given.",
        ),
    ] = None,
    workspace: Annotated[
        int | None,
        typer.Option(metavar="MIB", min=1, help="Memory that a kernel may use while it runs; else all there is."),
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="Where measured kernels are kept, for quicker builds."),
    ] = None,
    version_compatible: Annotated[
        bool,
        typer.Option(
            "--version-compatible", help="Engines that later versions of TensorRT can load; larger, and slower."
        ),
    ] = False,
    hardware_compatible: Annotated[
        bool, typer.Option("--hardware-compatible", help="Engines for any GPU from Ampere on; slower.")
    ] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="A report by layer beside each engine, layers.json; needs a GPU.")
    ] = False,
    model: Annotated[list[str] | None, typer.Option(help="Build this net only; may be given several times.")] = None,
    verify: Annotated[
        bool,
        typer.Option(help="Hold what was built against fp32, and install it only where no verdict is another one."),
    ] = True,
    pictures: Pictures = None,
    force: Annotated[bool, typer.Option("--force", help="Build again what is there already.")] = False,
) -> None:
    """From a pack to a repository that Triton serves, build/repository/<pack>-<target>-<precision>: fetch the weights,
    bring the nets to their served form and prove it, put the precision into them, compile them, and hold what came of
    it against fp32 on pictures.

    What has not changed is not built again. The repository that was there stays until another is ready.
    """
    with one_line():
        with packages_for("build"):
            from facegate.build.compiled import build_engines
            from facegate.build.order import Order
            from facegate.build.tensorrt.options import Options
        known = pack_named(pack)
        chosen = Options(
            workspace=workspace,
            timing_cache=timing_cache,
            version_compatible=version_compatible,
            hardware_compatible=hardware_compatible,
            layers=layers,
        )
        unfit: list[UnfitError] = []
        for size in detector_sizes(detector_size):
            ordered = Order(
                pack=known,
                target=target,
                precision=precision or (Precision.fp32 if target is Target.onnxruntime else Precision.fp16),
                pictures=pictures,
                size=size,
                max_batch=max_batch,
                liveness=not without_liveness,
                options=chosen,
                models=tuple(model or ()),
                verify=verify,
                force=force,
            )
            try:
                with _shown() as shown:
                    made = build_engines(ordered, accept_license=accept_license, say=say, progress=shown)
            except UnfitError as error:  # another size may do
                unfit.append(error)
                say(str(error))
                continue
            if made.stamps:
                Console(stderr=True, width=None if sys.stderr.isatty() else 200).print(_table(made))
            if made.repository:
                print(os.path.relpath(made.repository))
        if unfit:
            raise SystemExit(1)


@contextmanager
def _shown() -> Iterator[Progress]:
    """A bar for each net that is being built, on a terminal."""
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.fields[net]:16}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bars:
        tasks: dict[str, TaskID] = {}

        def told(model: str, phase: str, done: int, steps: int) -> None:
            if model not in tasks:
                tasks[model] = bars.add_task(phase, net=model)
            bars.update(tasks[model], description=phase, completed=done, total=steps)

        yield told


def _table(made: Engines) -> Table:
    columns = ("net", "precision", "built in", "engine", "largest difference to fp32", "by", "for")
    table = Table(*columns, box=None, pad_edge=False)
    for stamp in made.stamps:
        table.add_row(
            stamp.model,
            stamp.precision.value,
            f"{stamp.seconds:.1f} s" if stamp.model in made.fresh else "before",
            f"{stamp.size / 1e6:.1f} MB",
            _difference(stamp),
            f"{stamp.target.label} {stamp.version}",
            stamp.gpu or "any device",
        )
    return table


def _difference(stamp: Stamp) -> str:
    if stamp.gate is None:
        return "not verified"
    what = "" if stamp.gate["of_engine"] or stamp.target is Target.onnxruntime else ", of the graph"
    return f"{stamp.gate['unit']} {stamp.gate['difference']:.2g} (allowed {stamp.gate['limit']:g}){what}"
