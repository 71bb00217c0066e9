"""`python -m facegate_client`: the same as the command `faceclient`."""

from facegate_client.cli.app import app

app()
