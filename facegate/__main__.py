"""`python -m facegate`: the same as the command `facegate`."""

from facegate.cli.app import app

app()
