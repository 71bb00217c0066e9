"""What stands beside an engine, and when an engine must not be run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facegate.build.compiled import Store
from facegate.build.device import Gpu
from facegate.build.profile import Profile
from facegate.build.repository.stamp import Stamp, engine_key, read_stamp, sha256, stamp_file, write_stamp
from facegate.build.target import Precision, Target
from facegate.errors import EngineError

L4, ORIN, T4 = Gpu("NVIDIA L4", "8.9"), Gpu("Orin", "8.7"), Gpu("Tesla T4", "7.5")


def stamp(**changes: Any) -> Stamp:
    values: dict[str, Any] = {
        "model": "net",
        "pack": "mobileface",
        "source": "a",
        "served": "b",
        "graph": sha256(b"graph"),
        "engine": sha256(b"engine"),
        "precision": Precision.fp16,
        "keep_fp32": (),
        "profile": {"min": 1, "opt": 8, "max": 32},
        "target": Target.tensorrt,
        "version": "10.15.1",
        "gpu": L4.name,
        "compute_capability": L4.compute_capability,
        "options": {"version_compatible": False, "hardware_compatible": False},
        "tools": {},
        "seconds": 1.5,
        "size": 6,
        "key": "d" * 64,
    }
    return Stamp.model_validate({**values, **changes})


def test_an_engine_fits_the_machine_that_it_was_built_on() -> None:
    assert stamp().misfit("10.15.1", [L4]) is None
    assert stamp().misfit("10.15.1", [L4, L4]) is None


def test_an_engine_of_another_version_or_gpu_is_refused_with_both_named() -> None:
    assert stamp().misfit("10.16.0", [L4]) == "was built by TensorRT 10.15.1, and 10.16.0 is here"
    assert stamp().misfit("10.15.1", [L4, ORIN]) == (
        "was built for NVIDIA L4 (compute capability 8.9), and Orin (compute capability 8.7) is here"
    )


def test_an_engine_built_to_be_compatible_may_move() -> None:
    later = stamp(options={"version_compatible": True})
    assert later.misfit("10.16.0", [L4]) is None
    assert later.misfit("11.0", [L4]) is None
    assert later.misfit("10.16.0", [ORIN]) is not None
    assert stamp(options={"hardware_compatible": True}).misfit("10.15.1", [ORIN]) is None
    assert stamp(gpu=None, compute_capability=None, target=Target.tensorrt_rtx).misfit("10.15.1", [ORIN, T4]) is None


def test_an_engine_built_to_be_compatible_may_not_move_anywhere() -> None:
    later = stamp(options={"version_compatible": True})
    assert later.misfit("10.3.0", [L4]) == "was built by TensorRT 10.15.1, and 10.3.0 is here"
    assert later.misfit("9.16.0", [L4]) is not None
    ampere = stamp(options={"hardware_compatible": True}).misfit("10.15.1", [L4, T4])
    assert ampere == "runs on GPUs from compute capability 8.0 on, and Tesla T4 (compute capability 7.5) is here"
    rtx = stamp(gpu=None, compute_capability=None, target=Target.tensorrt_rtx)
    assert rtx.misfit("10.15.1", [Gpu("Tesla P40", "6.1")]) is not None


def key(**changes: Any) -> str:
    values: dict[str, Any] = {
        "served": "a",
        "precision": Precision.fp16,
        "keep_fp32": ["x", "y"],
        "profile": Profile(1, 2, 4),
        "target": Target.tensorrt,
        "version": "10",
        "gpu": L4,
        "options": {"workspace": None},
        "tools": {"onnx": "1"},
    }
    return engine_key(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"served": "other"},
        {"precision": Precision.fp32},
        {"keep_fp32": ["x"]},
        {"profile": Profile(1, 2, 8)},
        {"target": Target.tensorrt_rtx},
        {"version": "11"},
        {"gpu": ORIN},
        {"gpu": None},
        {"options": {"workspace": 1}},
        {"tools": {"onnx": "2"}},
    ],
    ids=str,
)
def test_whatever_an_engine_depends_on_changes_its_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


def test_the_order_of_the_nodes_kept_in_fp32_does_not_change_the_key() -> None:
    assert key(keep_fp32=["y", "x"]) == key()


def test_what_is_kept_is_found_again_with_its_stamp(tmp_path: Path) -> None:
    store = Store(tmp_path / "engines")
    assert store.find("net", "d" * 64, Target.tensorrt) is None
    store.put(stamp(), b"graph", b"engine", "[]")
    found = store.find("net", "d" * 64, Target.tensorrt)
    assert found == stamp()
    files = store.files("net", "d" * 64)
    assert {path.name: path.read_bytes() for path in files.iterdir() if path.suffix != ".json"} == {
        "model.onnx": b"graph",
        "model.plan": b"engine",
    }
    assert (files / "layers.json").read_text() == "[]"
    store.put(stamp(engine=sha256(b"another"), size=7), b"graph", b"another", None)
    assert (files / "model.plan").read_bytes() == b"another"
    assert [path.name for path in (tmp_path / "engines").iterdir()] == ["net-" + "d" * 16], "nothing is left lying"


@pytest.mark.parametrize("spoil", ["engine", "stamp", "no stamp", "graph", "no graph"])
def test_an_engine_that_is_not_whole_is_not_found(tmp_path: Path, spoil: str) -> None:
    store = Store(tmp_path)
    store.put(stamp(), b"graph", b"engine", None)
    engine = store.files("net", "d" * 64) / "model.plan"
    if spoil == "engine":
        engine.write_bytes(b"enginE")
    elif spoil == "stamp":
        stamp_file(engine).write_text("{}")
    elif spoil == "no stamp":
        stamp_file(engine).unlink()
    elif spoil == "graph":
        engine.with_name("model.onnx").write_bytes(b"grapH")
    else:
        engine.with_name("model.onnx").unlink()
    assert store.find("net", "d" * 64, Target.tensorrt) is None


def test_a_plan_that_is_not_the_stamped_one_is_said_to_be_so(tmp_path: Path) -> None:
    engine = tmp_path / "net" / "1" / "model.plan"
    engine.parent.mkdir(parents=True)
    engine.write_bytes(b"of somebody else")
    write_stamp(stamp(), engine)
    with pytest.raises(EngineError, match=r"^net: model\.plan is not the file that was stamped"):
        read_stamp(engine)
    stamp_file(engine).unlink()
    with pytest.raises(EngineError, match=r"^net: model\.plan or its stamp cannot be read: No such file"):
        read_stamp(engine)


def test_only_tensorrts_own_engines_stand_where_triton_looks_for_a_plan() -> None:
    assert [target.file for target in Target] == ["model.plan", "model.rtx", "model.onnx"]
