#!/usr/bin/env python3
"""From a model pack to a repository that Triton serves: the same as the command `facegate build`."""

import sys

from facegate.cli.app import app

if __name__ == "__main__":
    app(["build", *sys.argv[1:]], prog_name="facegate")
