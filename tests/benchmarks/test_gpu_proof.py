"""`make gpu-proof` from end to end, with the CPU in the place of a GPU's runner."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.gpu import asked as gpu_asked
from benchmarks.gpu import build as gpu_build
from benchmarks.gpu import nets as gpu_nets
from benchmarks.gpu import pipeline as gpu_pipeline
from benchmarks.gpu import proof as gpu_proof
from benchmarks.gpu import runners as gpu_runners
from benchmarks.gpu import served as gpu_served
from benchmarks.gpu import server as gpu_server
from benchmarks.gpu.page import page
from benchmarks.gpu.result import Proof, file_name
from benchmarks.gpu.timing import summary, with_ratios
from facegate.build.build import build_served
from facegate.build.device import Gpu, NoGpuError
from facegate.build.profile import of_batch
from facegate.build.target import Precision, Target
from facegate.cli import demo, options
from facegate.errors import EngineError, ServeError
from facegate_ensemble.runtime.cores import cores
from facegate_ensemble.runtime.inference_error import NetFault
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from support.serving import ROOT

GPU = Gpu("NVIDIA Pretended 1", "9.9")


@pytest.fixture(scope="module")
def proven(repository, samples, tmp_path_factory):
    """The path of a result: one runner that works, one that cannot be built, one that cannot be opened."""
    out, pictures = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("pictures")
    for sample in samples.values():
        shutil.copy(sample, pictures)

    def refuse(seconds):
        raise EngineError("this chip is not supported")

    def fail():
        raise NetFault("face_detector: no memory")

    def pretended(pack, nets, folder):
        works = replace(gpu_runners.cpu(nets), name="works", title="One that works")
        return [
            replace(works, name="not-built", title="One that is not built", build=refuse),
            replace(works, name="not-opened", title="One that does not open", open=fail),
            works,
        ]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gpu_proof, "gpus", lambda: [GPU])
        patched.setattr(gpu_proof, "RESULTS", out)
        patched.setattr(gpu_proof, "PAGES", out)
        patched.setattr(gpu_runners, "candidates", pretended)
        for module in (gpu_runners, gpu_nets):
            patched.setattr(module, "MOST_FACES", 4)
        for name, value in (("LEAST", 3), ("MOST", 3), ("WAKE_SECONDS", 0), ("TURN_SECONDS", 0)):
            patched.setattr(gpu_nets, name, value)
        patched.setattr(gpu_pipeline, "LONGEST", 0.01)
        patched.setattr(gpu_pipeline, "ROUNDS", 2)
        for module in (gpu_pipeline, gpu_server):
            patched.setattr(module, "CALLERS", (1, 3))
        patched.setattr(gpu_asked, "TO_CHOOSE_FROM", 24)
        patched.setattr(gpu_served, "MOST_ROUNDS", 1)
        patched.setattr(gpu_served, "CALLERS", 1)
        patched.setattr(gpu_served, "BATCHES", (1, 2))
        assert gpu_proof.main(["--pictures", str(pictures), "--minutes", "10"]) == 0
    return out / "gpu-nvidia-pretended-1.json"


@pytest.fixture(scope="module")
def result(proven):
    return json.loads(proven.read_text())


def test_what_does_not_run_is_recorded_with_its_reason_and_the_rest_runs(result):
    troubles = {name: step["trouble"] for name, step in result["steps"].items() if step["trouble"]}
    assert troubles == {
        "build not-built": "this chip is not supported",
        "open not-opened": "face_detector: no memory",
    }
    assert {name: (each["opened"], each["trouble"]) for name, each in result["runners"].items()} == {
        "not-built": (False, "this chip is not supported"),
        "not-opened": (False, "face_detector: no memory"),
        "works": (True, None),
    }
    assert result["first_choice"] == "works"
    assert list(result["steps"])[-5:] == [
        "parity of works",
        "the nets, timed",
        "the pipeline, timed",
        "what the server's nets are asked, on the CPU",
        "the server",
    ]


def test_the_machine_is_described(result):
    machine = result["machine"]
    assert machine["gpus"] == [{"name": "NVIDIA Pretended 1", "compute_capability": "9.9"}]
    assert machine["cores"] >= 1 and machine["cpu"] and machine["python"]
    assert machine["packages"]["numpy"] == f"numpy {np.__version__}"
    assert machine["packages"]["onnxruntime"].startswith("onnxruntime")


def test_parity_has_every_net_with_its_limit(result):
    (found,) = result["parity"]["by_runner"].values()
    assert (found["within_limits"], found["pictures"], found["verdicts_that_differ"]) == (True, 3, 0)
    assert list(found["nets"]) == [
        "face_detector",
        "face_detector_256x256",
        "face_recognizer",
        "minifasnet_v2",
        "minifasnet_v1se",
    ]
    assert all(net["largest_difference"] <= net["limit"] and net["within_limit"] for net in found["nets"].values())


def test_times_of_the_nets_are_consistent(result):
    figures = result["nets"]["figures"]
    assert {net: list(by_batch) for net, by_batch in figures.items()} == {
        "face_detector": ["1"],
        "face_detector_256x256": ["1"],
        "face_recognizer": ["1", "2", "4"],
        "minifasnet_v2": ["1", "2", "4"],
        "minifasnet_v1se": ["1", "2", "4"],
    }
    assert "not_measured" not in result["nets"]
    for by_batch in figures.values():
        for batch, by_runner in by_batch.items():
            cpu, own = by_runner["onnxruntime-cpu-fp32"], by_runner["works"]
            for each in (cpu, own):
                assert each["runs"] == 3
                assert 0 < each["p5_ms"] <= each["median_ms"] <= each["p95_ms"]
                assert each["rows_per_s"] == pytest.approx(int(batch) / each["median_ms"] * 1e3, rel=1e-3)
            assert cpu["times_cpu"] == 1
            assert own["times_cpu"] == pytest.approx(cpu["median_ms"] / own["median_ms"], rel=1e-3)


def test_the_pipeline_is_timed_alone_and_under_load(result):
    for request in ("analyze", "verify"):
        by_callers = result["pipeline"]["figures"][request]
        assert list(by_callers) == ["1", "3"]
        for callers, by_runner in by_callers.items():
            cpu, own = by_runner["onnxruntime-cpu-fp32"], by_runner["works"]
            assert own["runs"] >= int(callers) * 2
            assert own["p5_ms"] <= own["median_ms"] <= own["p95_ms"]
            assert own["times_cpu"] == pytest.approx(own["requests_per_s"] / cpu["requests_per_s"], rel=1e-3)


def test_the_server_answers_as_the_demo_does_and_says_what_it_runs_on(result):
    server = result["server"]
    assert [each["verified"] for each in server["verdicts"]] == [True, False, False, True]
    assert [list(by_callers) for by_callers in server["requests"].values()] == [["1", "3"]] * 2
    assert all(each["requests_per_s"] > 0 for each in server["requests"]["verify"].values())
    assert any(line.startswith("backend onnxruntime on the ") for line in server["runs_on"])


def test_every_net_of_the_server_is_held_against_the_cpu(result):
    served = result["server"]["served"]
    assert (served["right"], served["backend"], served["native"]) == (True, "onnxruntime", False)
    assert served["precision"] == "fp32"
    assert list(served["nets"]) == [
        "face_detector",
        "face_detector_256x256",
        "face_recognizer",
        "minifasnet_v2",
        "minifasnet_v1se",
    ]
    assert all(net["inputs"] == 24 and net["wrong"] == 0 for net in served["nets"].values())


def test_wrong_answers_of_the_server_are_in_bold_on_the_page(result):
    served = result["server"]["served"]
    net = served["nets"]["face_recognizer"]
    wrong = {
        **net,
        "anothers": 3,
        "wrong": 3,
        "told": ["8 callers, batch of 4, row 2: the answer to input 7, not to 3"],
    }
    served = {**served, "right": False, "nets": {**served["nets"], "face_recognizer": wrong}}
    text = page({**result, "server": {**result["server"], "served": served}}, "result.json")
    assert "**The server's nets gave wrong answers: do not serve with it.**" in text
    assert "| **3** | 0 | 0 |" in text
    assert "- **face_recognizer**: 8 callers, batch of 4, row 2: the answer to input 7, not to 3" in text
    assert "gave wrong answers" not in page(result, "result.json")


def test_nets_that_were_not_asked_are_not_called_right(result):
    served = dict(result["server"]["served"])
    del served["right"]
    text = page({**result, "server": {**result["server"], "served": served}}, "result.json")
    assert "**Not all nets were asked**" in text


def test_a_gpu_whose_server_answers_wrong_is_not_proven(monkeypatch, tmp_path, capsys):
    def run(proof, there, folder):
        proof.result |= {"first_choice": "works", "runners": {"works": {"title": "Works", "opened": True, "nets": {}}}}
        proof.result["server"] = {"served": SERVED_WRONG}
        proof.save()

    monkeypatch.setattr(gpu_proof, "gpus", lambda: [GPU])
    monkeypatch.setattr(gpu_proof, "run", run)
    monkeypatch.setattr(gpu_proof, "RESULTS", tmp_path)
    monkeypatch.setattr(gpu_proof, "PAGES", tmp_path)
    assert gpu_proof.main([]) == 1
    assert "THE SERVER'S NETS GAVE WRONG ANSWERS" in capsys.readouterr().err


SERVED_WRONG = {"backend": "tensorrt_plan", "native": True, "triton": "2.60.0", "precision": "fp16", "right": False}


def test_the_page_says_whose_backend_served(result):
    def told(**changes):
        served = {**result["server"]["served"], **changes}
        return page({**result, "server": {**result["server"], "served": served}}, "result.json")

    assert "by the backend `tensorrt`, NVIDIA's own, of Triton 2.60.0." in told(
        backend="tensorrt", native=True, triton="2.60.0"
    )
    assert "this project's, in Python" in told() and "**NVIDIA's own backend was not run here.**" in told()


def test_a_result_is_small_enough_to_be_kept(proven):
    assert proven.stat().st_size < 100_000


def test_the_page_says_it_all_and_is_made_again_from_the_result(proven, result, monkeypatch):
    written = proven.with_suffix(".md")
    text = written.read_text()
    assert "**First choice that works here: One that works.**" in text
    assert "| One that does not open | **no** |" in text
    assert "| build not-built | this chip is not supported |" in text
    assert "### minifasnet_v1se" in text and "### verify" in text
    assert ("**This server ran the nets on the CPU**" in text) is not result["server"]["on_gpu"]
    written.unlink()
    monkeypatch.setattr(gpu_proof, "PAGES", proven.parent)
    assert gpu_proof.main(["--page", str(proven)]) == 0
    assert written.read_text() == text


def test_without_a_gpu_nothing_is_written(monkeypatch, tmp_path, capsys):
    def none():
        raise NoGpuError("no NVIDIA driver on this machine")

    monkeypatch.setattr(gpu_proof, "gpus", none)
    monkeypatch.setattr(gpu_proof, "RESULTS", tmp_path)
    assert gpu_proof.main([]) == 1
    assert capsys.readouterr().err == (
        "facegate: a proof on a GPU needs one: no NVIDIA driver on this machine; nothing was written\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_not_here_is_a_line_in_the_result(tmp_path):
    script = f"""
import sys
from pathlib import Path
from benchmarks.gpu import proof as gpu_proof
from facegate.build.device import Gpu
sys.modules["onnxruntime"] = None
gpu_proof.gpus = lambda: [Gpu("NVIDIA Pretended 1", "9.9")]
gpu_proof.RESULTS = gpu_proof.PAGES = Path({str(tmp_path)!r})
sys.exit(gpu_proof.main([]))
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    kept = json.loads((tmp_path / "gpu-nvidia-pretended-1.json").read_text())
    assert kept["machine"]["gpus"]
    assert "onnxruntime" in kept["steps"]["the graphs in fp32, on the CPU"]["trouble"]
    assert "**Nothing was proven to run all nets right" in (tmp_path / "gpu-nvidia-pretended-1.md").read_text()


def test_a_step_without_an_end_is_stopped_and_the_next_one_runs(tmp_path):
    proof = Proof(tmp_path / "result.json", 10)
    with proof.step("endless", 1):
        while True:
            try:
                time.sleep(0.1)
            except Exception:
                continue
    with proof.step("next", 1):
        pass
    steps = json.loads(proof.path.read_text())["steps"]
    assert steps["endless"]["trouble"].startswith("it was stopped after 1 s")
    assert steps["next"]["trouble"] is None


def test_a_run_that_is_killed_leaves_what_it_has(tmp_path):
    proof = Proof(tmp_path / "result.json", 10)
    proof.result["machine"] = {}
    with proof.step("fatal", 60):
        left = json.loads(proof.path.read_text())
    assert left["steps"]["fatal"]["trouble"] == "it did not end: the run was killed here"
    assert "| fatal | it did not end: the run was killed here |" in page(left, "result.json")


def test_a_fault_of_ours_says_where_it_came_from(tmp_path):
    proof = Proof(tmp_path / "result.json", 10)
    with proof.step("faulty", 60):
        raise KeyError("face")
    assert proof.trouble("faulty").startswith("KeyError: 'face' (test_gpu_proof.py:")


class Fails:
    """A session that fails on more than two rows."""

    full_batch = 64

    def run(self, batch):
        if len(batch) > 2:
            raise NetFault("minifasnet_v2: a run of 4 rows failed: out of memory")
        return {}


def test_a_runner_that_fails_on_a_batch_does_not_keep_the_others_from_it(repository, pack, monkeypatch):
    monkeypatch.setattr(gpu_nets, "MOST_FACES", 4)
    for name, value in (("MOST", 5), ("WAKE_SECONDS", 0), ("TURN_SECONDS", 0)):
        monkeypatch.setattr(gpu_nets, name, value)
    good = replace(_candidate(), name=gpu_runners.CPU_RUNNER)
    runners = [
        gpu_runners.Runner(good, {"minifasnet_v2": type("Works", (Fails,), {"run": lambda self, batch: {}})()}),
        gpu_runners.Runner(_candidate(), {"minifasnet_v2": Fails()}),
    ]
    found = {}
    gpu_nets.measure({"minifasnet_v2": np.zeros((3, 80, 80, 3), np.uint8)}, runners, 60, found)
    by_batch = found["figures"]["minifasnet_v2"]
    assert by_batch["2"]["weak"]["runs"] == 5
    assert by_batch["4"]["weak"] == {"trouble": "minifasnet_v2: a run of 4 rows failed: out of memory"}
    assert by_batch["4"][gpu_runners.CPU_RUNNER]["runs"] == 5


def _candidate():
    return gpu_runners.Candidate("weak", "Weak", Precision.fp32, dict)


def test_the_pipeline_of_the_cpu_is_the_one_that_is_served_and_its_nets_alone_have_every_core(pack, repository):
    reference = gpu_runners.cpu(build_served(pack))
    runner = gpu_runners.Runner(reference, reference.open())
    assert isinstance(runner.inferer, OnnxInferer) and all(map(runner.inferer.serves, pack.nets))
    threads = {session._session.get_session_options().intra_op_num_threads for session in runner.sessions.values()}
    assert threads == {cores()}
    runner.close()
    assert not any(map(runner.inferer.serves, pack.nets))


def test_what_the_time_does_not_suffice_for_is_named():
    found = {}
    gpu_nets.measure({"face_detector": np.zeros((1, 64, 64, 3), np.uint8)}, [], -1, found)
    assert found["not_measured"] == [f"face_detector by {batch}" for batch in (1, 2, 4, 8, 16)]


def test_a_build_that_fails_gives_its_own_words(monkeypatch):
    if not _without("tensorrt"):
        pytest.skip("tensorrt is here")
    with pytest.raises(EngineError, match=r"^the Python package tensorrt is not here"):
        gpu_build.built("mobileface", Target.tensorrt, Precision.fp16, None, 600)
    monkeypatch.setattr(gpu_build, "tensorrt", lambda target: None)  # so that the process of its own is started
    monkeypatch.setattr(gpu_build.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(EngineError, match=r"^the Python package tensorrt is not here"):
        gpu_build.built("mobileface", Target.tensorrt, Precision.fp16, None, 600)


def test_a_build_is_stopped_when_its_time_is_over(monkeypatch):
    monkeypatch.setattr(gpu_build, "tensorrt", lambda target: None)
    monkeypatch.setattr(gpu_build.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(gpu_build, "ENDING_SECONDS", 0.1)
    with pytest.raises(EngineError, match=r"^not built within 0 s, its share of the time"):
        gpu_build.built("mobileface", Target.tensorrt, Precision.fp16, None, 0.2)
    with pytest.raises(EngineError, match=r"^no time was left to build it"):
        gpu_build.built("mobileface", Target.tensorrt, Precision.fp16, None, 0.1)


def _without(package):
    return gpu_build.importlib.util.find_spec(package) is None


def test_a_server_that_does_not_start_gives_its_last_words(repository, samples, monkeypatch):
    monkeypatch.setattr(gpu_server, "OPTIONS", ("--detector-size", "wide"))
    with pytest.raises(ServeError, match=r"did not start.*; it said: .*--detector-size wide: wanted is height"):
        gpu_server.measure(samples, {}, 60, {})


def test_a_wrong_answer_of_a_served_net_is_why_the_step_failed(samples, monkeypatch):
    @contextmanager
    def started():
        yield "127.0.0.1:1", subprocess.Popen(["sleep", "60"])

    def wrong(address, asked, precision, native, seconds, found):
        found["nets"] = {"face_detector": {"wrong": 2, "told": ["row 1: the answer to input 3, not to input 4"]}}

    async def nothing(*given):
        pass

    verdicts = [{"verified": expected} for expected in gpu_server.EXPECTED]
    monkeypatch.setattr(gpu_server, "running_server", lambda *options: started())
    monkeypatch.setattr(gpu_server, "_verdicts", lambda *given: (verdicts, Precision.fp32))
    monkeypatch.setattr(gpu_server, "_requests", nothing)
    monkeypatch.setattr(gpu_server, "held", wrong)
    with pytest.raises(ServeError, match=r"^face_detector answered 2 times wrong: row 1: the answer to input 3"):
        gpu_server.measure(samples, {}, 60, {})


def test_engines_are_ordered_for_the_batches_that_are_measured(pack):
    ordered = of_batch(pack, gpu_build.MOST_FACES)
    assert {net: gpu_runners.rows(net) for net in pack.nets} == {
        name: net.max_batch for name, net in ordered.nets.items()
    }


def test_the_default_pack_and_the_demos_pictures_are_used():
    assert (gpu_proof.PACK, gpu_proof.SAMPLES) == (options.DEFAULT_PACK, (demo.LIVE, demo.SPOOF))


@pytest.mark.parametrize(
    ("gpu", "name"), [("NVIDIA L4", "nvidia-l4"), ("NVIDIA A100-SXM4-40GB", "nvidia-a100-sxm4-40gb"), ("/", "unnamed")]
)
def test_a_gpus_name_makes_a_plain_file_name(gpu, name):
    assert file_name(gpu) == name


def test_medians_and_ratios():
    assert summary([0.001, 0.002, 0.003, 0.004, 0.010]) == {
        "runs": 5,
        "median_ms": 3.0,
        "p5_ms": 1.2,
        "p95_ms": 8.8,
    }
    times = {"cpu": {"median_ms": 6.0}, "gpu": {"median_ms": 1.5}, "broken": {"trouble": "no memory"}}
    with_ratios(times, "median_ms", "cpu")
    assert (times["gpu"]["times_cpu"], times["cpu"]["times_cpu"], times["broken"]) == (4, 1, {"trouble": "no memory"})
    rates = {"cpu": {"requests_per_s": 10.0}, "gpu": {"requests_per_s": 40.0}}
    with_ratios(rates, "requests_per_s", "cpu")
    assert rates["gpu"]["times_cpu"] == 4
