"""Runs TensorRT engines on a GPU through the CUDA driver."""
