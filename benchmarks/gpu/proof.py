"""What runs on this machine's GPU, how right and how fast: `python -m benchmarks.gpu.proof [--minutes 10]`.

Everything that may run the nets is tried: TensorRT and TensorRT for RTX in every precision, ONNX Runtime with CUDA.
What runs is held against ONNX Runtime on the CPU in fp32, on the same pictures, and timed in turns with it: the nets,
the whole pipeline in this process, the whole pipeline through a server; and the server's nets are asked one by one,
whether an answer is another request's. What does not run is recorded with its reason,
be it a package that is not here. Writes benchmarks/results/gpu-<name>.json, whole after every step, and from it
docs/gpu-<name>.md, which `--page RESULT.json` writes again.

Engines are built for batches of 64 faces and stay in build/, in the place of those that build_engines.py put there.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.machine import ROOT, machine
from benchmarks.gpu.page import page
from benchmarks.gpu.result import CLEAN_UP_SECONDS, Proof, file_name, say
from facegate.build.device import Gpu, NoGpuError, gpus
from facegate.errors import EngineError

if TYPE_CHECKING:  # a package that is not here stops the step that needs it, and nothing else
    from benchmarks.gpu.asked import Asked
    from benchmarks.gpu.runners import Candidate, Runner
    from facegate.build.build import Built
    from facegate.build.checks.pictures import Pictures

RESULTS, PAGES = ROOT / "benchmarks" / "results", ROOT / "docs"
PACK = "mobileface"
SAMPLES = ("image_T1.jpg", "image_F2.jpg")
"""A live face and a spoof: the demo's."""

BUILDING, OPENING, JUDGING, NETS, PIPELINE, ASKING, SERVER = 0.5, 0.25, 0.35, 0.45, 0.5, 0.25, 0.85
"""Of the time that is left when it begins, what a step may take; all building together, and all judging."""

EXPECTED = "what the server's nets are asked, on the CPU"
"""A step, which the server's needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what can run; the exit status is 0 where a GPU ran all nets as the CPU does, and the server too."""
    asked = _asked(arguments)
    if asked.page:
        say(f"written: {write_page(asked.page)}")
        return 0
    try:
        there = gpus()
    except NoGpuError as error:
        say(f"a proof on a GPU needs one: {error}; nothing was written")
        return 1
    proof = Proof(RESULTS / f"gpu-{file_name(there[0].name)}.json", asked.minutes)
    # Should a driver's call never return, nothing but this ends the run.
    faulthandler.dump_traceback_later(proof.left() + 2 * CLEAN_UP_SECONDS, exit=True, file=2)
    try:
        run(proof, there, asked.pictures)
    except KeyboardInterrupt:
        say(f"interrupted; what was found until then is in {proof.path}")
        return 130
    finally:
        faulthandler.cancel_dump_traceback_later()
        say(f"written: {proof.path}, {write_page(proof.path)}")
    chosen = proof.result["first_choice"]
    say(f"the first choice that works here: {chosen or 'none; the page says why'}")
    wrong = proof.result.get("server", {}).get("served", {}).get("right") is False
    if wrong:
        say("THE SERVER'S NETS GAVE WRONG ANSWERS; the page names them")
    return 0 if chosen and not wrong else 1


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.proof", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="the most that it may take (10)")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="pictures with faces to judge on; where not given, images/ of FACEGATE_MIRROR, else three sample pictures",
    )
    parser.add_argument("--page", type=Path, metavar="RESULT.json", help="only write the page of a result again")
    asked = parser.parse_args(arguments)
    if not asked.minutes >= 1:
        parser.error("--minutes: at least 1")
    if asked.pictures and not asked.pictures.is_dir():
        parser.error(f"--pictures {asked.pictures}: no such directory")
    return asked


def write_page(result: Path) -> Path:
    """Write the page of a result, from that alone, and return where it is."""
    path = PAGES / f"{result.stem}.md"
    path.write_text(page(json.loads(result.read_text(encoding="utf-8")), result.name), encoding="utf-8")
    return path


def run(proof: Proof, there: Sequence[Gpu], folder: Path | None) -> None:
    """Every step in its order."""
    result = proof.result
    result["first_choice"] = None
    with proof.step("the machine", 60):
        result["machine"] = machine(there)
    opened: list[Runner] = []
    with proof.step("the graphs in fp32, on the CPU", proof.left() * OPENING):
        from benchmarks.gpu.runners import Runner, candidates, cpu
        from facegate.build.build import build_served
        from facegate.build.checks.pictures import pictures_of
        from facegate.packs.shipped import pack_named, sample_pictures

        pack = pack_named(PACK)
        nets = build_served(pack, say=say)
        pictures = pictures_of(folder, [nets.fetched[name] for name in sample_pictures()])
        reference = cpu(nets)
        opened.append(Runner(reference, reference.open()))
    if not opened:
        return
    result["pack"] = {"name": nets.pack.name, "digest": nets.pack.digest}
    result["runners"] = {}
    opened += gpu_runners(proof, candidates(pack, nets, folder))
    judged(proof, nets, opened, pictures)
    result["first_choice"] = first_choice(result)
    proof.save()
    timed(proof, nets, opened)
    asked: dict[str, Asked] = {}
    with proof.step(EXPECTED, proof.left() * ASKING):
        from benchmarks.gpu.asked import asked_of

        asked |= asked_of(nets.pack, opened[0].inferer, pictures)
    for runner in opened:
        runner.close()
    with proof.step("the server", proof.left() * SERVER) as seconds:
        from benchmarks.gpu.server import measure

        if not asked:
            raise EngineError(f"there is nothing to hold its nets against: {proof.trouble(EXPECTED)}")
        measure(nets.fetched, asked, seconds, result.setdefault("server", {}))


def gpu_runners(proof: Proof, tried: Sequence[Candidate]) -> list[Runner]:
    """Those of the candidates that can be built and opened. First all are built: a build has the GPU to itself."""
    from benchmarks.gpu.runners import Runner

    records = proof.result["runners"]
    end = proof.left() * (1 - BUILDING)
    for candidate in tried:
        record = records[candidate.name] = {"title": candidate.title, "opened": False, "trouble": None, "nets": {}}
        if candidate.build is None:
            continue
        with proof.step(f"build {candidate.name}", proof.left() - end) as seconds:
            record["nets"] = candidate.build(seconds)
        record["trouble"] = proof.trouble(f"build {candidate.name}")
    opened = []
    for candidate in tried:
        record = records[candidate.name]
        if record["trouble"]:
            continue
        with proof.step(f"open {candidate.name}", proof.left() * OPENING):
            opened.append(Runner(candidate, candidate.open()))
            record["opened"] = True
        record["trouble"] = proof.trouble(f"open {candidate.name}")
    return opened


def judged(proof: Proof, nets: Built, opened: Sequence[Runner], pictures: Pictures) -> None:
    """Hold each runner on a GPU against the first, the CPU."""
    from benchmarks.gpu.parity import Remembering, parity

    proof.result["parity"] = {"by_runner": {}}
    expected = Remembering(opened[0].inferer)
    end = proof.left() * (1 - JUDGING)
    for runner in opened[1:]:
        with proof.step(f"parity of {runner.name}", proof.left() - end):
            proof.result["parity"]["by_runner"][runner.name] = parity(nets.pack, expected, runner, pictures)


def timed(proof: Proof, nets: Built, opened: Sequence[Runner]) -> None:
    """Time the nets and the pipeline, all runners in turns."""
    from facegate.build.checks.pictures import Pictures, fed

    samples = [nets.fetched[name] for name in SAMPLES]
    with proof.step("the nets, timed", proof.left() * NETS) as seconds:
        from benchmarks.gpu import nets as gpu_nets

        crops = fed(nets.pack, opened[0].inferer, list(Pictures(tuple(samples)).images()))
        gpu_nets.measure(crops, opened, seconds, proof.result.setdefault("nets", {}))
    with proof.step("the pipeline, timed", proof.left() * PIPELINE) as seconds:
        from benchmarks.gpu import pipeline as gpu_pipeline

        images = (samples[0].read_bytes(), samples[1].read_bytes())
        gpu_pipeline.measure(nets.pack, opened, images, seconds, proof.result.setdefault("pipeline", {}))


def first_choice(result: dict[str, Any]) -> str | None:
    """The first runner on a GPU, in the order of preference, whose answers were found to be the CPU's."""
    judged = result["parity"]["by_runner"]
    return next((name for name in result["runners"] if judged.get(name, {}).get("within_limits")), None)


if __name__ == "__main__":
    sys.exit(main())
