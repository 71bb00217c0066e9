"""Run time: the pipeline from pixels to verdict, and what serves it inside Triton."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reports to its maker from 1.29 on unless it is told
