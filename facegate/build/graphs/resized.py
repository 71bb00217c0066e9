"""A published detector let take pictures of another size than the one its file names."""

from __future__ import annotations

from pathlib import Path

import onnx


def resized(weights: Path, height: int, width: int, folder: Path) -> Path:
    """The net in `weights` for pictures of `height` x `width`, as a file in `folder`.

    Only the sizes that the file declares are changed: a net that is convolutions throughout then answers for the new
    size, and of any other the shapes no longer fit, which is found when it is first run.
    """
    model = resize(onnx.load(weights), height, width)
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{weights.stem}-{height}x{width}.onnx"
    onnx.save(model, written)
    return written


def resize(model: onnx.ModelProto, height: int, width: int) -> onnx.ModelProto:
    """`model` itself, its one picture declared as `height` x `width`, and its outputs as of any size."""
    constants = {initializer.name for initializer in model.graph.initializer}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and len(dims) == 4:
            dims[2].dim_value, dims[3].dim_value = height, width
    del model.graph.value_info[:]
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()
    return model
