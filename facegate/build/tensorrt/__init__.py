"""Engines of TensorRT 10, TensorRT 11 and TensorRT for RTX, by one path."""
