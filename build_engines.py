#!/usr/bin/env python3
"""From a model pack to a repository that Triton serves; see `--help`."""

from facegate.building import app

if __name__ == "__main__":
    app()
