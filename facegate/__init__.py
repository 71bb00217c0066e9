"""The application around the pipeline: builds model packs, serves them, and answers applications and cameras."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
