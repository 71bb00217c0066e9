"""Runs ONNX models under ONNX Runtime."""
