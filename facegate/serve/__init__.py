"""Starts, monitors, restarts and stops Triton."""
