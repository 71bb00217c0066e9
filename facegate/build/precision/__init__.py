"""FP16 and INT8 in the served graphs themselves."""

from facegate.build.precision.convert import Precision, in_precision
from facegate.build.precision.rehearsal import rehearsed
from facegate.build.precision.sensitivity import NodeError, sensitivity

__all__ = ["NodeError", "Precision", "in_precision", "rehearsed", "sensitivity"]
