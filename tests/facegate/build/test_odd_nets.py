"""Nets of one's own that are made otherwise than the shipped ones: served rightly, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facegate.build.checks.contact_sheet import contact_sheet
from facegate.build.checks.parity import Parity, prove
from facegate.build.graphs.cpu import for_cpu
from facegate.build.graphs.served import served_graph
from facegate.build.graphs.source import SERVED_OPSET
from facegate.errors import GraphError, ParityError
from facegate.packs.pack_file import PackFile
from facegate_ensemble.pack import Pack
from facegate_ensemble.runtime.inference_error import NetFault
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.runtime.onnx.session import ROWS_AT_ONCE, OnnxSession
from support import own_packs
from support.missing import cannot_be_had

SIDE, HALF, VALUES = 112, 56, 8  # pixels, pixels, values that a net answers
WEIGHTS = np.random.default_rng(5).normal(size=(2, 3, HALF, HALF)).astype(np.float32) / HALF
SHAPE = numpy_helper.from_array(np.array([1, VALUES], np.int64), "shape")
PICTURES = np.random.default_rng(6).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
Node = onnx.NodeProto
make = helper.make_node
Prove = Callable[..., list[Parity]]


def constant(name: str, **value: Any) -> Node:
    return make("Constant", [], [name], **value)


def tensor(values: Any, dtype: type, name: str = "") -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def net(
    *nodes: Node,
    output: str = "y",
    shape: tuple[int, ...] = (1, VALUES),
    kind: int = TensorProto.FLOAT,
    taken: str = "x",
    dims: tuple[Any, ...] = (1, 3, SIDE, SIDE),
    initializers: tuple[onnx.TensorProto, ...] = (),
    opsets: tuple[tuple[str, int], ...] = (("", 17),),
) -> onnx.ModelProto:
    """Four windows of two values each, "flat" [1, 8], then `nodes`, which make `output`."""
    body = [
        make("Conv", [taken, "w"], ["windows"], kernel_shape=[HALF] * 2, strides=[HALF] * 2),
        make("Reshape", ["windows", "shape"], ["flat"]),
        *nodes,
    ]
    graph = helper.make_graph(
        body,
        "odd",
        [helper.make_tensor_value_info(taken, TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info(output, kind, shape)],
        [numpy_helper.from_array(WEIGHTS, "w"), SHAPE, *initializers],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*opset) for opset in opsets], ir_version=8)


PASSED = make("Identity", ["flat"], ["y"])
ONE_AT_A_TIME = (make("Concat", ["flat", "row"], ["both"], axis=0), make("ReduceMax", ["both"], ["y"], axes=[0]))
"""A row is put to the batch, of which there is one: [2, 8], and the larger of each two values taken: [1, 8]."""


@pytest.fixture
def odd(pack: PackFile) -> Callable[..., Pack]:
    """The default pack whose recognizer and first liveness net are "net.onnx", of this file's size."""

    def of(model: str = "face_recognizer", **changes: Any) -> Pack:
        values = pack.model_dump(mode="json", include=set(Pack.model_fields))
        plain = {"file": "net.onnx", "height": SIDE, "width": SIDE, "mean": (0, 0, 0), "std": (255, 255, 255)}
        values["recognizer"] |= plain | {"dimension": VALUES}
        values["liveness"]["nets"][0] |= plain
        values["liveness"]["classes"] = VALUES
        sections = {"face_recognizer": values["recognizer"], "face_detector": values["detector"]}
        sections.get(model, values["liveness"]["nets"][0]).update(changes)
        return Pack.model_validate(values)

    return of


@pytest.fixture
def serve(odd: Callable[..., Pack], tmp_path: Path) -> Callable[..., onnx.ModelProto]:
    """The served graph of a net made here."""

    def served(made: onnx.ModelProto, model: str = "face_recognizer", **changes: Any) -> onnx.ModelProto:
        onnx.save(made, tmp_path / "net.onnx")
        return served_graph(odd(model, **changes), model, tmp_path / "net.onnx")

    return served


@pytest.fixture
def proof(odd: Callable[..., Pack], weights: dict[str, Path], samples: dict[str, Path], tmp_path: Path) -> Prove:
    """Proves a net made here over the faces of one picture, found by the pack's own detector."""

    def proven(made: onnx.ModelProto, model: str = "face_recognizer", **changes: Any) -> list[Parity]:
        onnx.save(made, tmp_path / "net.onnx")
        pack, files = odd(model, **changes), weights | {"net.onnx": tmp_path / "net.onnx"}
        for name in ("face_detector", model):
            (tmp_path / "nets" / name / "1").mkdir(parents=True, exist_ok=True)
            graph = served_graph(pack, name, files[pack.nets[name].file])
            onnx.save(graph, tmp_path / "nets" / name / "1" / "model.onnx")
            onnx.save(for_cpu(graph), tmp_path / "nets" / name / "1" / "cpu.onnx")
        return [
            each for each in prove(pack, files, tmp_path / "nets", [samples["image_T1.jpg"]]) if each.model == model
        ]

    return proven


def answers(graph: onnx.ModelProto, batch: NDArray[np.uint8] = PICTURES) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (values,) = session.run(None, {session.get_inputs()[0].name: batch})
    return values


def embeddings(batch: NDArray[np.uint8] = PICTURES) -> NDArray[np.float64]:
    """By hand what `net` answers where nothing else is done to "flat"."""
    planes = batch[..., ::-1].astype(np.float64).transpose(0, 3, 1, 2) / 255  # the default recognizer takes RGB
    corners = [(top, left) for top in (0, HALF) for left in (0, HALF)]
    raw = np.array(
        [np.tensordot(planes[:, :, y : y + HALF, x : x + HALF], WEIGHTS, ((1, 2, 3),) * 2) for y, x in corners]
    )
    flat = raw.transpose(1, 2, 0).reshape(len(batch), VALUES)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def one_line(refusal: pytest.ExceptionInfo[BaseException]) -> bool:
    return "\n" not in str(refusal.value)


# Liveness nets that answer probabilities already.


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("after", [(), (make("Identity", ["p"], ["y"]),)], ids=["last", "before an Identity"])
def test_a_liveness_net_that_ends_in_a_softmax_is_refused_and_cut_as_told_it_is_served(
    serve: Callable[..., onnx.ModelProto], tmp_path: Path, after: tuple[Node, ...], opset: int
) -> None:
    made = net(make("Softmax", ["flat"], ["p" if after else "y"], axis=1), *after, opsets=(("", opset),))
    with pytest.raises(
        GraphError, match=r"^net\.onnx: answers probabilities.*Softmax.*extract_model.*'flat'"
    ) as refusal:
        serve(made, "minifasnet_v2")
    assert one_line(refusal)
    onnx.utils.extract_model(str(tmp_path / "net.onnx"), str(tmp_path / "cut.onnx"), ["x"], ["flat"])
    graph = serve(onnx.load(tmp_path / "cut.onnx"), "minifasnet_v2")
    np.testing.assert_allclose(answers(graph).sum(axis=1), 1, atol=1e-5)


def test_a_softmax_made_of_other_operators_is_seen_in_the_proof(proof: Prove) -> None:
    made = net(
        make("Exp", ["flat"], ["powers"]),
        make("ReduceSum", ["powers", "axis"], ["sum"]),
        make("Div", ["powers", "sum"], ["y"]),
        initializers=(tensor([1], np.int64, "axis"),),
    )
    with pytest.raises(ParityError, match=r"^minifasnet_v2: answers probabilities; wanted are logits"):
        proof(made, "minifasnet_v2")


def test_log_probabilities_are_logits(proof: Prove) -> None:
    """The softmax of a log-softmax is the softmax."""
    proof(net(make("LogSoftmax", ["flat"], ["y"], axis=1)), "minifasnet_v2")


# A batch.


def test_a_batch_is_proved_on_a_picture_of_one_face(proof: Prove) -> None:
    """A mean over the batch says nothing of a batch of one."""
    mixes = net(make("ReduceMean", ["flat"], ["m"], axes=[0], keepdims=1), make("Add", ["flat", "m"], ["y"]))
    with pytest.raises(ParityError, match=r"^face_recognizer EMBEDDINGS: .* between batch and singles"):
        proof(mixes)
    (parity,) = proof(net(PASSED))
    assert (parity.pictures, parity.batched) == (1, True)


def test_pictures_that_are_all_the_same_are_no_batch_either(
    proof: Prove, odd: Callable[..., Pack], weights: dict[str, Path], samples: dict[str, Path], tmp_path: Path
) -> None:
    mixes = net(make("ReduceMean", ["flat"], ["m"], axes=[0], keepdims=1), make("Add", ["flat", "m"], ["y"]))
    with pytest.raises(ParityError):
        proof(mixes)
    files = weights | {"net.onnx": tmp_path / "net.onnx"}
    with pytest.raises(ParityError, match="between batch and singles"):
        prove(odd(), files, tmp_path / "nets", [samples["image_T1.jpg"]] * 5)


def lone(**changes: Any) -> onnx.ModelProto:
    return net(*ONE_AT_A_TIME, initializers=(tensor(np.zeros((1, VALUES)), np.float32, "row"),), **changes)


def expanding() -> onnx.ModelProto:
    """A net whose Concat of a [1, 8] and the batch fails with any batch but one."""
    return net(
        make("Concat", ["flat", "row"], ["wide"], axis=1),
        make("Slice", ["wide", "start", "end", "axis"], ["y"]),
        initializers=(
            tensor(np.zeros((1, VALUES)), np.float32, "row"),
            *(tensor([value], np.int64, name) for name, value in (("start", 0), ("end", VALUES), ("axis", 1))),
        ),
    )


def test_a_net_that_fails_on_a_batch_is_refused_in_one_line_that_says_what_helps(proof: Prove, capfd: Any) -> None:
    with pytest.raises(
        ParityError, match=rf"^face_recognizer: cannot be run on a batch of {ROWS_AT_ONCE}: .*max_batch = 1"
    ) as refusal:
        proof(expanding())
    assert one_line(refusal)
    assert capfd.readouterr().err == ""


def test_a_net_that_answers_another_number_of_rows_is_refused(proof: Prove) -> None:
    with pytest.raises(
        ParityError, match=r"^face_recognizer: answers 1 rows of EMBEDDINGS to a batch of 2.*max_batch = 1"
    ):
        proof(lone())


@pytest.mark.parametrize("made", [expanding(), lone()], ids=["fails", "answers one row"])
def test_a_net_that_takes_one_picture_at_a_time_is_proved_and_served_so(
    proof: Prove, odd: Callable[..., Pack], tmp_path: Path, made: onnx.ModelProto
) -> None:
    (parity,) = proof(made, max_batch=1)
    assert (parity.batch_to_singles, parity.batched, parity.batches) == (0.0, False, "one at a time")
    inferer = OnnxInferer(tmp_path / "nets", odd(max_batch=1).nets)
    assert inferer.chunk("face_recognizer", len(PICTURES)) == 1
    given = inferer.infer("face_recognizer", PICTURES)["EMBEDDINGS"]
    assert given.shape == (len(PICTURES), VALUES)


def test_a_session_is_given_no_more_than_the_packs_max_batch(proof: Prove, tmp_path: Path) -> None:
    proof(net(PASSED))
    graph = tmp_path / "nets" / "face_recognizer" / "1" / "model.onnx"
    assert [OnnxSession(graph, most).full_batch for most in (1, 3, 32)] == [1, 3, ROWS_AT_ONCE]


def test_a_server_whose_net_fails_on_its_batch_says_which(proof: Prove, tmp_path: Path) -> None:
    proof(expanding(), max_batch=1)
    graph = tmp_path / "nets" / "face_recognizer" / "1" / "model.onnx"
    with pytest.raises(NetFault, match=r"^face_recognizer: cannot be run on a batch of 2: "):
        OnnxSession(graph, 2)


# What a graph may hold.


def test_constants_that_are_no_shapes_stay_as_they_are(serve: Callable[..., onnx.ModelProto]) -> None:
    made = net(
        constant("one", value_float=1.0),
        constant("ones", value_floats=[1.0] * VALUES),
        constant("words", value_strings=["a", "b"]),
        constant("index", value_int=0),
        make("Mul", ["flat", "one"], ["a"]),
        make("Mul", ["a", "ones"], ["b"]),
        make("Gather", ["words", "index"], ["word"], axis=0),
        make("Equal", ["word", "word"], ["same"]),
        make("Where", ["same", "b", "a"], ["y"]),
        opsets=(("", 19),),  # Equal of strings
    )
    np.testing.assert_allclose(answers(serve(made)), embeddings(), atol=1e-5)


def test_a_reshape_of_a_constant_and_a_shape_used_elsewhere_stay_as_they_are(
    serve: Callable[..., onnx.ModelProto],
) -> None:
    made = net(
        constant("four", value_ints=[1, 2, 2, 2]),
        make("Reshape", ["ones", "four"], ["weights"]),
        make("Reshape", ["flat", "four"], ["square"], allowzero=0),
        make("Mul", ["square", "weights"], ["scaled"]),
        make("ReduceMax", ["four"], ["two"], keepdims=0),
        make("ReduceMin", ["four"], ["still_one"], keepdims=0),
        make("Cast", ["still_one"], ["unit"], to=TensorProto.FLOAT),
        make("Mul", ["scaled", "unit"], ["kept"]),
        make("Reshape", ["kept", "shape"], ["y"]),
        initializers=(tensor(np.ones(VALUES), np.float32, "ones"),),
    )
    np.testing.assert_allclose(answers(serve(made)), embeddings(), atol=1e-5)


def apart(values: onnx.TensorProto) -> onnx.TensorProto:
    """The same tensor said to lie in another file."""
    moved = onnx.TensorProto(data_type=values.data_type, dims=values.dims, name=values.name)
    moved.data_location = TensorProto.EXTERNAL
    moved.external_data.add(key="location", value="elsewhere.bin")
    return moved


def branching(held: onnx.TensorProto) -> tuple[Node, ...]:
    def branch(name: str, held: onnx.TensorProto) -> onnx.GraphProto:
        nodes = [constant(f"{name}_held", value=held), make("Mul", ["flat", f"{name}_held"], [name])]
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])

    here = tensor(np.ones(VALUES), np.float32)
    return (
        constant("yes", value=tensor(True, np.bool_)),
        make("If", ["yes"], ["y"], then_branch=branch("then", held), else_branch=branch("else", here)),
    )


ONES = tensor(np.ones(VALUES), np.float32)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param((constant("k", value=apart(ONES)), make("Mul", ["flat", "k"], ["y"])), id="a Constant"),
        pytest.param(branching(apart(ONES)), id="a Constant in a subgraph"),
    ],
)
def test_weights_in_other_files_are_found_wherever_they_are_held(
    serve: Callable[..., onnx.ModelProto], nodes: tuple[Node, ...]
) -> None:
    with pytest.raises(GraphError, match=r"^net\.onnx: not a usable ONNX graph: it keeps weights in other files"):
        serve(net(*nodes))


def test_weights_of_a_sparse_kind_in_other_files_are_found(serve: Callable[..., onnx.ModelProto]) -> None:
    made = net(make("Mul", ["flat", "k"], ["y"]))
    made.graph.sparse_initializer.append(
        helper.make_sparse_tensor(apart(tensor([1.0], np.float32, "k")), tensor([0], np.int64), [VALUES])
    )
    with pytest.raises(GraphError, match="it keeps weights in other files"):
        serve(made)


def test_a_net_with_branches_is_served(serve: Callable[..., onnx.ModelProto]) -> None:
    np.testing.assert_allclose(answers(serve(net(*branching(ONES)))), embeddings(), atol=1e-5)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(net(make("Identity", ["flat"], ["EMBEDDINGS"]), output="EMBEDDINGS"), id="output"),
        pytest.param(net(make("Identity", ["flat"], ["FACES"]), output="FACES"), id="output as our input"),
        pytest.param(net(PASSED, taken="FACES"), id="input"),
        pytest.param(net(PASSED, taken="EMBEDDINGS"), id="input as our output"),
        pytest.param(net(make("Neg", ["flat"], ["EMBEDDINGS"]), make("Neg", ["EMBEDDINGS"], ["y"])), id="in between"),
        pytest.param(
            net(make("Neg", ["flat"], ["facegate/cast_1"]), make("Neg", ["facegate/cast_1"], ["y"])),
            id="as our own nodes",
        ),
    ],
)
def test_a_net_may_have_names_like_ours(serve: Callable[..., onnx.ModelProto], made: onnx.ModelProto) -> None:
    np.testing.assert_allclose(answers(serve(made)), embeddings(), atol=1e-5)


@pytest.mark.parametrize(
    "opsets",
    [
        (("com.microsoft", 1), ("", 17)),
        (("ai.onnx", 17),),
        (("com.microsoft", 1), ("ai.onnx", 12)),
        (("custom", 20), ("", 11)),
    ],
    ids=str,
)
def test_onnxs_own_operators_may_be_imported_in_any_order(
    serve: Callable[..., onnx.ModelProto], opsets: tuple[tuple[str, int], ...]
) -> None:
    graph = serve(net(PASSED, opsets=opsets))
    assert [each.version for each in graph.opset_import if each.domain in ("", "ai.onnx")] == [SERVED_OPSET]
    np.testing.assert_allclose(answers(graph), embeddings(), atol=1e-5)


# Outputs and inputs.


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((1, VALUES, 1, 1), TensorProto.FLOAT),
        ((1, 1, VALUES), TensorProto.FLOAT),
        ((1, VALUES), TensorProto.DOUBLE),
        ((1, VALUES), TensorProto.FLOAT16),
        ((1, VALUES, 1, 1), TensorProto.DOUBLE),
    ],
    ids=str,
)
def test_an_output_of_another_shape_or_type_is_served_as_a_row_of_floats(
    serve: Callable[..., onnx.ModelProto], proof: Prove, shape: tuple[int, ...], kind: int
) -> None:
    made = net(
        make("Cast", ["flat"], ["other"], to=kind),
        constant("long", value_ints=list(shape)),
        make("Reshape", ["other", "long"], ["y"]),
        shape=shape,
        kind=kind,
    )
    given = answers(serve(made))
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, embeddings(), atol=2e-3 if kind == TensorProto.FLOAT16 else 1e-5)
    if kind != TensorProto.FLOAT16:  # whose rounding is another in a batch
        assert all(proof(made))


def test_an_output_without_a_batch_is_refused_clearly(serve: Callable[..., onnx.ModelProto]) -> None:
    made = net(make("Squeeze", ["flat", "axis"], ["y"]), shape=(VALUES,), initializers=(tensor([0], np.int64, "axis"),))
    with pytest.raises(
        GraphError, match=r"^net\.onnx: answers \[8\] to a batch of one picture; wanted is \[1, values\]"
    ):
        serve(made)


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [((make("ReduceSum", ["flat"], ["y"], keepdims=0),), ()), ((make("ReduceSum", ["flat"], ["y"]),), (1, 1))],
    ids=str,
)
def test_an_scrfd_is_none_that_answers_one_number(
    serve: Callable[..., onnx.ModelProto], nodes: tuple[Node, ...], shape: tuple[int, ...]
) -> None:
    dims = (1, 3, "height", "width")
    made = net(*nodes, shape=shape, dims=dims, opsets=(("", 18),), taken="x")
    made.graph.node[1].op_type = "Flatten"
    del made.graph.node[1].input[1:]
    with pytest.raises(GraphError, match=r"^net\.onnx: an scrfd of 640 x 640 has three outputs each of"):
        serve(made, "face_detector", file="net.onnx", head="scrfd")


@pytest.mark.parametrize(
    ("dims", "said"),
    [
        (("N", 1, "H", "W"), r"found x \[N, 1, H, W\]$"),
        (("N", 3, "H", 96), "takes Hx96, the pack says 112x112"),
    ],
)
def test_sides_that_may_vary_are_named(serve: Callable[..., onnx.ModelProto], dims: tuple[Any, ...], said: str) -> None:
    with pytest.raises(GraphError, match=said):
        serve(net(PASSED, dims=dims))


def test_a_graph_that_does_not_check_is_named_by_its_file(
    serve: Callable[..., onnx.ModelProto], monkeypatch: pytest.MonkeyPatch
) -> None:
    check = onnx.checker.check_model

    def failing(model: onnx.ModelProto, full_check: bool = False) -> None:
        check(model)
        if full_check:
            raise onnx.checker.ValidationError("wrong\nand more")

    monkeypatch.setattr(onnx.checker, "check_model", failing)
    with pytest.raises(GraphError, match=r"^net\.onnx: .* does not check: wrong$"):
        serve(net(PASSED))


# Answers that no such net gives.


@pytest.mark.parametrize(
    ("factor", "said"),
    [(0.0, "answers zeros to a face"), (float("nan"), "answers values that are not numbers")],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_embedding_of_nothing_is_refused(proof: Prove, factor: float, said: str) -> None:
    made = net(constant("k", value_float=factor), make("Mul", ["flat", "k"], ["y"]))
    with pytest.raises(ParityError, match=rf"^face_recognizer: {said}"):
        proof(made)


@pytest.fixture
def scrfd(request: pytest.FixtureRequest, pictures: Path, tmp_path: Path) -> Callable[..., Any]:
    """Proves an SCRFD, changed by a function, of any size."""
    published = pictures.parent / "models" / own_packs.SCRFD
    if not published.is_file():
        cannot_be_had(request.config, f"{own_packs.SCRFD} is not here")

    def proven(change: Callable[[onnx.ModelProto], object], picture: Path, **changes: Any) -> list[Parity]:
        values = own_packs.values_of("buffalo_sc")
        model = onnx.load(published)
        change(model)
        onnx.save(model, tmp_path / "scrfd.onnx")
        values["detector"] |= {"file": "scrfd.onnx"} | changes
        values["files"]["scrfd.onnx"] = own_packs.local(tmp_path / "scrfd.onnx")
        pack = PackFile.model_validate(values)
        (tmp_path / "nets" / "face_detector" / "1").mkdir(parents=True)
        graph = served_graph(pack, "face_detector", tmp_path / "scrfd.onnx")
        onnx.save(graph, tmp_path / "nets" / "face_detector" / "1" / "model.onnx")
        return prove(pack, {"scrfd.onnx": tmp_path / "scrfd.onnx"}, tmp_path / "nets", [picture])

    return proven


def without_sigmoids(model: onnx.ModelProto) -> None:
    makers = {output: node for node in model.graph.node for output in node.output}
    for sigmoid in [node for node in model.graph.node if node.op_type == "Sigmoid"]:
        makers[sigmoid.input[0]].output[0] = sigmoid.output[0]
        model.graph.node.remove(sigmoid)


def test_an_scrfd_without_a_sigmoid_is_refused(scrfd: Callable[..., Any], samples: dict[str, Path]) -> None:
    with pytest.raises(ParityError, match=r"^face_detector: answers scores of -.* to .*; wanted are scores of 0 to 1"):
        scrfd(without_sigmoids, samples["image_T1.jpg"])


def test_the_proof_of_an_scrfd_of_another_size_says_nothing_on_its_own(
    scrfd: Callable[..., Any], samples: dict[str, Path], capfd: Any
) -> None:
    assert all(scrfd(lambda model: None, samples["image_T1.jpg"], height=320, width=352))
    assert capfd.readouterr().err == ""


def test_a_picture_without_a_face_is_named_with_its_best_score(
    pack: PackFile, weights: dict[str, Path], samples: dict[str, Path], repository: Path
) -> None:
    strict = pack.model_copy(update={"detector": pack.detector.model_copy(update={"min_score": 0.99})})
    said = r": no face; its best candidate scores 0\.\d+, the pack's min_score is 0\.99$"
    with pytest.raises(ParityError, match=r"^image_F1\.jpg" + said):
        prove(strict, weights, repository, [samples["image_F1.jpg"]])
    with pytest.raises(ParityError, match="^mine.png" + said):
        contact_sheet(strict, repository, cv2.imread(str(samples["image_F1.jpg"])), "mine.png")
