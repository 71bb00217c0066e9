"""Starts, watches and stops Triton. Knows neither nets nor image code."""
