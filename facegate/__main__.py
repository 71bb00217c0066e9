"""`python -m facegate`: the same as the command `facegate`."""

from facegate.cli import app

app()
