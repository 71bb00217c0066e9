"""Measures speed and accuracy of the project, each part by a command of its own."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
