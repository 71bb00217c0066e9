#!/usr/bin/env python3
"""From a model pack to a repository that Triton serves; see `--help`."""

from facegate.building import build_command

if __name__ == "__main__":
    build_command()
