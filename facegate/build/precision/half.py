"""A served graph whose net computes in FP16.

The published net's nodes are in FP16. Those that this project adds are not, since FP16 cannot hold what they make: the
normalisation's means, pixels over 512 (steps of 0.5), a vector's length, a softmax; nor are the sigmoids that make a
detector's scores. Only moves of values (transposes, gathers, concatenations) follow the net's precision, and so does
the cast of the picture's bytes, which FP16 holds exactly; hence there is one cast, not a pair, where it changes.

ONNX Runtime's own converter (onnxruntime.transformers.float16) is not used: it passes every value between two nodes
kept in FP32 through FP16, and gives two casts one name where a value has two takers, which is no valid graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, defs, helper, numpy_helper

from facegate.build.graphs.builder import used
from facegate.build.precision.nodes import Array, constants, drop_unused, element_types, name_of, require_nodes
from facegate.build.target import Precision

OURS = "facegate/"
MOVES = ("Concat", "Flatten", "Gather", "GatherND", "Reshape", "Shape", "Split", "Squeeze", "Transpose", "Unsqueeze")
"""What changes no value, by op type."""

LARGEST = float(np.finfo(np.float16).max)


def half_nodes(model: onnx.ModelProto, keep: Collection[str]) -> list[str]:
    """The names of the nodes that `in_half` has compute in FP16; those that only move values are not among them."""
    plan = _Plan(model, keep)
    return [name_of(node) for node in model.graph.node if plan.half(node) and node.op_type not in (*MOVES, "Cast")]


def in_half(model: onnx.ModelProto, keep: Collection[str]) -> onnx.ModelProto:
    """`model` with its net in FP16, but for the nodes named in `keep`. Inputs and outputs are as they were."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    writer = _Writer(half, _Plan(model, keep))
    for node in model.graph.node:
        writer.write(node)
    for output in model.graph.output:
        writer.single(output.name)
    drop_unused(half.graph)
    return half


class _Plan:
    """Which nodes compute in FP16, and which of their inputs and outputs then are FP16."""

    def __init__(self, model: onnx.ModelProto, keep: Collection[str]) -> None:
        self._opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
        self._types = element_types(model)
        nodes = [node for node in model.graph.node if name_of(node) not in keep and self._possible(node)]
        follow = (*MOVES, "Cast")
        self._takers = _takers(model.graph)
        scores = self._scores(model.graph)
        self._chosen = {
            node.output[0]
            for node in nodes
            if node.op_type not in follow and not name_of(node).startswith(OURS) and node.output[0] not in scores
        }
        self._follow(model.graph, [node for node in nodes if node.op_type in follow])

    def half(self, node: onnx.NodeProto) -> bool:
        return node.output[0] in self._chosen

    def half_inputs(self, node: onnx.NodeProto) -> list[int]:
        """Indices of the inputs that `node` takes in FP16 where it computes in it. Resize's scales are always FP32."""
        return [index for index, _ in self._parameters(node, node.input, self._schema(node).inputs)]

    def half_outputs(self, node: onnx.NodeProto) -> list[int]:
        return [index for index, name in enumerate(node.output) if self._types.get(name) == TensorProto.FLOAT]

    def _possible(self, node: onnx.NodeProto) -> bool:
        """Whether the operator exists in FP16, with outputs that are FP16 where its inputs are."""
        if node.domain not in ("", "ai.onnx") or any(each.HasField("g") or each.graphs for each in node.attribute):
            return False
        if node.op_type == "Cast":
            return self._types.get(node.input[0]) == TensorProto.UINT8 and self._types.get(node.output[0]) == 1
        schema = self._schema(node)
        linked = {kind for _, kind in self._parameters(node, node.input, schema.inputs)}
        made = [kind for _, kind in self._parameters(node, node.output, schema.outputs)]
        return bool(linked) and len(made) == len(self.half_outputs(node)) and linked.issuperset(made)

    def _schema(self, node: onnx.NodeProto) -> defs.OpSchema:
        return defs.get_schema(node.op_type, self._opset)

    def _parameters(
        self, node: onnx.NodeProto, names: Collection[str], formal: Sequence[defs.OpSchema.FormalParameter]
    ) -> Iterator[tuple[int, str]]:
        """Index and kind of the float values among an operator's inputs or outputs that may be FP16 as well."""
        allowed = {each.type_param_str: each.allowed_type_strs for each in self._schema(node).type_constraints}
        for index, name in enumerate(names):
            kind = formal[min(index, len(formal) - 1)].type_str
            if self._types.get(name) == TensorProto.FLOAT and "tensor(float16)" in allowed.get(kind, ()):
                yield index, kind

    def _scores(self, graph: onnx.GraphProto) -> set[str]:
        """What sigmoids give to our nodes alone. FP16 has steps of 0.0005 there; neighbours' scores lie closer."""
        last: set[str] = set()
        for node in reversed(graph.node):
            takers = self._takers.get(node.output[0], [])
            if takers and all(
                name_of(each).startswith(OURS) or (each.op_type in MOVES and each.output[0] in last) for each in takers
            ):
                last.add(node.output[0])
        return {node.output[0] for node in graph.node if node.op_type == "Sigmoid" and node.output[0] in last}

    def _follow(self, graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
        """Let moves, and the cast of the picture, have the precision of those who take the values, or of the values."""
        for node in reversed(nodes):
            taken = [taker for name in node.output for taker in self._takers.get(name, [])]
            if taken and all(self.half(taker) for taker in taken):
                self._chosen.add(node.output[0])
        made = {name for node in graph.node if self.half(node) for name in node.output}
        for node in nodes:
            if node.op_type != "Cast" and made.issuperset(node.input[i] for i in self.half_inputs(node)):
                self._chosen.add(node.output[0])
                made.update(node.output)


def _takers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    return takers


class _Writer:
    """Writes nodes and the casts between them. An FP32 value keeps its name, its FP16 form has another."""

    def __init__(self, model: onnx.ModelProto, plan: _Plan) -> None:
        self._graph = model.graph
        self._plan = plan
        self._constants = constants(model.graph)
        self._halves: set[str] = set()
        self._missing: set[str] = set()
        del model.graph.node[:]

    def write(self, node: onnx.NodeProto) -> None:
        if not self._plan.half(node):
            for name in sorted(used(helper.make_graph([node], "", [], []))):
                self.single(name)
            self._graph.node.append(node)
            return
        new = onnx.NodeProto()
        new.CopyFrom(node)
        halves = self._plan.half_inputs(node)
        for index, name in enumerate(node.input):
            if index in halves:
                new.input[index] = self.half(name)
            else:
                self.single(name)
        for index in self._plan.half_outputs(node):
            new.output[index] = _half_name(node.output[index])
            self._halves.add(node.output[index])
            self._missing.add(node.output[index])
        if node.op_type == "Cast":
            next(each for each in new.attribute if each.name == "to").i = TensorProto.FLOAT16
        self._graph.node.append(new)

    def single(self, name: str) -> None:
        """See that the value is there in FP32."""
        if name in self._missing:
            self._missing.remove(name)
            self._cast(_half_name(name), name, TensorProto.FLOAT)

    def half(self, name: str) -> str:
        """See that the value is there in FP16; returns the name of that form."""
        half = _half_name(name)
        if name not in self._halves:
            self._halves.add(name)
            if name in self._constants:
                self._graph.initializer.append(numpy_helper.from_array(_rounded(self._constants[name]), half))
            else:
                self._cast(name, half, TensorProto.FLOAT16)
        return half

    def _cast(self, name: str, to: str, kind: int) -> None:
        self._graph.node.append(helper.make_node("Cast", [name], [to], name=f"{OURS}cast/{to}", to=kind))


def _half_name(name: str) -> str:
    return f"{OURS}half/{name}"


def _rounded(values: Array) -> NDArray[np.float16]:
    """To FP16, finite values staying finite."""
    held = np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), values)
    return held.astype(np.float16)


def in_precision(graph: onnx.ModelProto, precision: Precision, keep_fp32: Collection[str]) -> onnx.ModelProto:
    """Returns a new model with the inputs and outputs of the served `graph`; from the same arguments the same bytes.

    `keep_fp32` are names of nodes to leave in FP32; a node published without a name goes by its first output's. Raises
    GraphError for a name no node has.
    """
    require_nodes(graph.graph, keep_fp32)
    if precision is Precision.fp16:
        converted = in_half(graph, keep_fp32)
    else:
        converted = onnx.ModelProto()
        converted.CopyFrom(graph)
    onnx.checker.check_model(converted, full_check=True)
    return converted
