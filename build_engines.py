#!/usr/bin/env python3
"""From a model pack to a repository that Triton serves; see `--help`."""

from facegate.cli.build import app

if __name__ == "__main__":
    app()
