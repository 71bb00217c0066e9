"""Build time: from a model pack to a repository that Triton can serve."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reports to its maker from 1.29 on unless it is told
