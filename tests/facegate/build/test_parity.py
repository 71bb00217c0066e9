"""The proof that a served graph is the published net, on the real nets: it holds, and it refuses what is off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facegate.build.checks.parity import TOLERANCES, Parity, prove
from facegate.build.graphs.served import served_graph
from facegate.errors import ParityError
from facegate.packs.pack_file import PackFile

Graphs = dict[str, onnx.ModelProto]
Weights = dict[str, Path]
Prove = Callable[..., list[Parity]]


@pytest.fixture(scope="module")
def graphs(pack: PackFile, weights: Weights) -> Graphs:
    return {model: served_graph(pack, model, weights[net.file]) for model, net in pack.nets.items()}


@pytest.fixture
def proof(pack: PackFile, weights: Weights, samples: dict[str, Path], tmp_path: Path) -> Prove:
    """Proves these graphs, over one live face unless told otherwise."""

    def proven(graphs: Graphs, pictures: Sequence[Path] = (samples["image_T1.jpg"],)) -> list[Parity]:
        for model, graph in graphs.items():
            (tmp_path / model / "1").mkdir(parents=True)
            onnx.save(graph, tmp_path / model / "1" / "model.onnx")
        return prove(pack, weights, tmp_path, list(pictures))

    return proven


def altered(graph: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """With the net's last four-dimensional weights times `factor`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    last = [each for each in copy.graph.initializer if len(each.dims) == 4 and np.prod(each.dims) > 3][-1]
    last.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(last) * np.float32(factor), last.name))
    return copy


def rewired(graph: onnx.ModelProto, output: str, *nodes: onnx.NodeProto) -> onnx.ModelProto:
    """With `nodes` between what was `output`, now "was", and the graph's end."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    for node in copy.graph.node:
        node.output[:] = ["was" if name == output else name for name in node.output]
        node.input[:] = ["was" if name == output else name for name in node.input]
    copy.graph.node.extend(nodes)
    return copy


def number(name: str, value: float) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=helper.make_tensor(name, TensorProto.FLOAT, [], [value]))


def test_the_served_graphs_are_the_published_nets(proof: Prove, graphs: Graphs, samples: dict[str, Path]) -> None:
    report = proof(graphs, list(samples.values()))
    assert all(report)
    assert {(parity.model, parity.output) for parity in report} == {
        ("face_detector", "BOXES"),
        ("face_detector", "SCORES"),
        ("face_detector", "LANDMARKS"),
        ("face_detector_256x256", "BOXES"),
        ("face_detector_256x256", "SCORES"),
        ("face_detector_256x256", "LANDMARKS"),
        ("face_recognizer", "EMBEDDINGS"),
        ("minifasnet_v2", "PROBABILITIES"),
        ("minifasnet_v1se", "PROBABILITIES"),
    }
    assert all(parity.pictures >= 3 for parity in report)


@pytest.mark.parametrize(
    "model", ["face_detector", "face_detector_256x256", "face_recognizer", "minifasnet_v2", "minifasnet_v1se"]
)
def test_a_graph_whose_weights_are_off_by_two_percent_is_refused(
    proof: Prove, graphs: Graphs, samples: dict[str, Path], model: str
) -> None:
    wanted = {name: graph for name, graph in graphs.items() if name in ("face_detector", model)}
    with pytest.raises(ParityError, match=rf"^{model} .* from the published net"):
        # All three: of the live face the liveness nets are so sure that it hides much.
        proof(wanted | {model: altered(graphs[model], 1.02)}, list(samples.values()))


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        ("face_detector", {"colour": "RGB"}),
        ("face_recognizer", {"colour": "BGR"}),
        ("face_recognizer", {"mean": (127.5, 127.5, 127.5)}),
        ("minifasnet_v2", {"std": (255.0, 255.0, 255.0)}),
    ],
    ids=str,
)
def test_a_graph_that_is_fed_otherwise_than_the_pack_says_is_refused(
    proof: Prove, graphs: Graphs, pack: PackFile, weights: Weights, model: str, wrong: dict[str, object]
) -> None:
    values = pack.model_dump(mode="json")
    sections = {"face_detector": values["detector"], "face_recognizer": values["recognizer"]}
    sections.get(model, values["liveness"]["nets"][0]).update(wrong)
    misled = served_graph(PackFile.model_validate(values), model, weights[pack.nets[model].file])
    with pytest.raises(ParityError, match=rf"^{model} "):
        proof({"face_detector": graphs["face_detector"], model: misled})


def test_a_picture_without_a_face_proves_nothing_and_is_refused(proof: Prove, graphs: Graphs, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((200, 200, 3), 90, dtype=np.uint8))
    with pytest.raises(
        ParityError, match=r"^blank\.png: no face; its best candidate scores 0\.0\d+, the pack's min_score is 0\.7$"
    ):
        proof({name: graphs[name] for name in graphs if not name.startswith("minifasnet")}, [tmp_path / "blank.png"])


def test_a_detector_that_invents_faces_is_refused(proof: Prove, graphs: Graphs) -> None:
    invents = rewired(
        graphs["face_detector"],
        "SCORES",
        number("little", 0.1),
        number("much", 0.99),
        helper.make_node("Less", ["was", "little"], ["is_little"]),
        helper.make_node("Where", ["is_little", "much", "was"], ["SCORES"]),
    )
    with pytest.raises(ParityError, match=r"^face_detector "):
        proof({"face_detector": invents})


def test_a_net_that_answers_no_number_to_a_later_picture_is_refused(
    proof: Prove, graphs: Graphs, samples: dict[str, Path]
) -> None:
    """Not a number wherever P(real) is under a half: not for the first picture, but for the second, a spoof."""
    broken = rewired(
        graphs["minifasnet_v2"],
        "PROBABILITIES",
        number("half", 0.5),
        number("nothing", 0.0),
        helper.make_node("Constant", [], ["real"], value_ints=[1]),
        helper.make_node("Gather", ["was", "real"], ["p_real"], axis=1),
        helper.make_node("Sub", ["p_real", "half"], ["over_half"]),
        helper.make_node("Log", ["over_half"], ["number_or_not"]),
        helper.make_node("Mul", ["number_or_not", "nothing"], ["zero_or_not"]),
        helper.make_node("Add", ["was", "zero_or_not"], ["PROBABILITIES"]),
    )
    pictures = [samples["image_T1.jpg"], samples["image_F1.jpg"]]
    with pytest.raises(ParityError, match=r"^minifasnet_v2 "):
        proof({"face_detector": graphs["face_detector"], "minifasnet_v2": broken}, pictures)


@pytest.mark.parametrize("output", TOLERANCES)
def test_a_difference_is_allowed_up_to_its_tolerance(output: str) -> None:
    assert Parity("net", output, 1, TOLERANCES[output], TOLERANCES[output])
    assert not Parity("net", output, 1, TOLERANCES[output] * 1.01, 0.0)
    assert not Parity("net", output, 1, 0.0, TOLERANCES[output] * 1.01)


@pytest.mark.parametrize(
    "differences",
    [(np.nan, 0.0), (0.0, np.nan)],
)
def test_a_difference_that_is_not_a_number_is_never_allowed(differences: tuple[float, float]) -> None:
    assert not Parity("net", "EMBEDDINGS", 1, *differences)
