"""Engines on a GPU, as far as a made GPU can show: right answers, nothing kept, nothing left current."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facegate_ensemble.runtime.inference_error import NetFault
from facegate_ensemble.runtime.tensorrt.session import TensorRtSession, graph_sizes
from support.fake_gpu import FakeGpu, answer, engine_bytes, made_gpu, only_new_garbage

FULL = 6
GRAPHS = [1, 2, 4, 6]


@pytest.fixture
def gpu(monkeypatch):
    yield from made_gpu(monkeypatch)


@pytest.fixture
def engine(tmp_path):
    return _engine(tmp_path, "model.plan")


def _engine(folder, name, **changes):
    path = folder / "face_detector" / "1" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(engine_bytes(**changes))
    return path


def pictures(rows, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, 4, 4, 3), dtype=np.uint8)


def assert_answers(outputs, batch):
    assert set(outputs) == {"BOXES", "SCORES"}
    for name, row in (("BOXES", (5, 4)), ("SCORES", (5,))):
        np.testing.assert_array_equal(outputs[name], answer(batch, row))
        assert outputs[name].dtype == np.float32


@pytest.mark.parametrize("file", ["model.plan", "model.rtx"])
def test_a_batch_of_any_size_is_answered_row_for_row(gpu, tmp_path, file):
    session = TensorRtSession(_engine(tmp_path, file), FULL)
    assert session.full_batch == FULL
    for rows in [*range(1, 2 * FULL + 2), 5 * FULL]:
        batch = pictures(rows, rows)
        assert_answers(session.run(batch), batch)


def test_batches_of_the_usual_sizes_are_one_launch_and_others_run_without_a_graph(gpu, engine):
    session = TensorRtSession(engine, FULL)
    gpu.calls.clear()
    for rows in range(1, FULL + 1):
        session.run(pictures(rows))
    assert gpu.calls.count("cuGraphLaunch") == len(GRAPHS)
    assert gpu.calls.count("execute_async_v3") == FULL - len(GRAPHS)


@pytest.mark.parametrize(
    ("full", "sizes"), [(1, [1]), (2, [1, 2]), (6, GRAPHS), (8, [1, 2, 4, 8]), (32, [1, 2, 4, 8, 16, 32])]
)
def test_graphs_are_for_powers_of_two_and_the_full_batch(full, sizes):
    assert graph_sizes(full) == sizes


def test_an_answer_stays_as_it_was_when_the_session_runs_again(gpu, engine):
    session = TensorRtSession(engine, FULL)
    batch = pictures(2)
    first = session.run(batch)
    session.run(pictures(2, seed=1))
    assert_answers(first, batch)


def test_a_batch_in_another_order_of_memory_is_read_right(gpu, engine):
    batch = pictures(4)[::-1, :, ::-1]
    assert_answers(TensorRtSession(engine, FULL).run(batch), batch)


def test_threads_that_share_a_session_get_each_its_own_answer(gpu, engine):
    session = TensorRtSession(engine, FULL)
    batches = [pictures(1 + seed % 9, seed) for seed in range(60)]
    left = []

    def run(batch):
        outputs = session.run(batch)
        left.extend(gpu.contexts())
        return outputs

    with ThreadPoolExecutor(6) as pool:
        for batch, outputs in zip(batches, pool.map(run, batches), strict=True):
            assert_answers(outputs, batch)
    assert left == []


def test_sessions_opened_and_closed_in_other_threads_give_everything_back(gpu, engine):
    barrier = threading.Barrier(3, timeout=60)

    def use(seed):
        session = TensorRtSession(engine, FULL)
        barrier.wait()
        batch = pictures(3, seed)
        assert_answers(session.run(batch), batch)
        return session

    with ThreadPoolExecutor(3) as pool:
        sessions = list(pool.map(use, range(3)))
    for session in sessions:
        session.close()
    gpu.everything_is_back()


def test_the_context_is_current_only_while_it_is_needed(gpu, engine):
    session = TensorRtSession(engine, FULL)
    assert gpu.contexts() == []
    session.run(pictures(1))
    assert gpu.contexts() == []


def test_what_depends_on_another_is_given_back_before_it(gpu, engine):
    session = TensorRtSession(engine, FULL)
    gpu.released.clear()
    session.close()
    first = {kind: gpu.released.index(kind) for kind in gpu.released}
    last = {kind: at for at, kind in enumerate(gpu.released)}
    assert last["graph"] < last["execution context"] < first["engine"] < first["runtime"] < first["stream"]
    assert last["execution context"] < first["host memory"]
    gpu.everything_is_back()


def test_a_session_that_nobody_has_any_more_is_closed(gpu, engine):
    session = TensorRtSession(engine, FULL)
    session.run(pictures(1))
    del session
    gpu.everything_is_back()


def test_a_closed_session_says_so(gpu, engine):
    session = TensorRtSession(engine, FULL)
    session.close()
    session.close()
    with pytest.raises(NetFault, match=r"^face_detector: its session is closed$"):
        session.run(pictures(1))


@pytest.mark.parametrize("file", ["model.plan", "model.rtx"])
def test_whatever_fails_while_a_session_is_opened_nothing_is_kept(monkeypatch, tmp_path, file, caplog):
    engine = _engine(tmp_path, file)
    whole = FakeGpu()
    whole.install(monkeypatch)
    session = TensorRtSession(engine, FULL)
    steps = whole.fallible
    assert steps > 40
    session.close()
    with only_new_garbage():
        for step in range(1, steps + 1):
            _open_where_it_fails(monkeypatch, engine, step, caplog)


def _open_where_it_fails(monkeypatch, engine, step, caplog):
    gpu = FakeGpu()
    gpu.install(monkeypatch)
    gpu.fail_at = step
    try:
        session = TensorRtSession(engine, FULL)
    except NetFault as fault:
        assert str(fault).startswith("face_detector: ") and "\n" not in str(fault)
        fault.__traceback__ = None
    else:
        assert caplog.records, f"{gpu.calls[step - 1]} failed, and nobody was told"
        batch = pictures(2 * FULL)
        assert_answers(session.run(batch), batch)
        session.close()
    caplog.clear()
    gpu.everything_is_back()


def test_a_net_that_cannot_be_recorded_runs_without_graphs_and_says_so_once(gpu, engine, caplog, monkeypatch):
    monkeypatch.setattr("facegate_ensemble.runtime.tensorrt.session.CudaGraph", _refuse)
    session = TensorRtSession(engine, FULL)
    assert caplog.messages == ["face_detector: batches from 1 on run without a CUDA graph: not this one"]
    batch = pictures(FULL)
    assert_answers(session.run(batch), batch)


def _refuse(stream, work):
    raise RuntimeError("not this one\nand a second line")


def test_a_run_that_fails_gives_tensorrts_first_error_and_the_next_one_is_right(gpu, engine):
    session = TensorRtSession(engine, FULL)
    gpu.fail_at = gpu.fallible + 2
    with pytest.raises(NetFault, match=r"^face_detector: a run of 3 rows failed: asked for$"):
        session.run(pictures(3))
    assert gpu.contexts() == []
    batch = pictures(3, seed=2)
    assert_answers(session.run(batch), batch)


@pytest.mark.parametrize(
    "batch",
    [pictures(1).astype(np.float32), pictures(1)[:, :3], pictures(0), pictures(1)[0]],
    ids=["FP32", "another size", "no row", "no batch"],
)
def test_a_batch_of_another_kind_is_refused_before_it_reaches_the_gpu(gpu, engine, batch):
    session = TensorRtSession(engine, FULL)
    gpu.calls.clear()
    with pytest.raises(ValueError, match=r"^face_detector takes UINT8 \[B, 4, 4, 3\], not "):
        session.run(batch)
    assert gpu.calls == []


def test_tensorrt_for_rtx_makes_its_own_graphs_and_has_run_each_size_before(gpu, tmp_path):
    session = TensorRtSession(_engine(tmp_path, "model.rtx"), FULL)
    assert not [call for call in gpu.calls if call.startswith("cu")]
    assert gpu.calls.count("execute_async_v3") == 1 + len(GRAPHS)
    assert gpu.calls.count("create_execution_context") == 1
    assert session.full_batch == FULL


def test_a_gpu_that_is_not_there_is_named(gpu, engine):
    with pytest.raises(NetFault, match=r"^face_detector: GPU 3 cannot be used: cuDeviceGet failed: invalid device"):
        TensorRtSession(engine, FULL, device=3)
