"""FP16 and INT8 in the served graphs themselves."""

from engines.precision.convert import Precision, in_precision
from engines.precision.rehearsal import rehearsed
from engines.precision.sensitivity import NodeError, sensitivity

__all__ = ["NodeError", "Precision", "in_precision", "rehearsed", "sensitivity"]
