"""What the commands fail with: each is one line for the person at the terminal, without a traceback."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot do what was asked; `str()` says what is wrong and what to do."""


class ServeError(CommandError):
    """The server cannot be started or kept running."""


class PackError(CommandError):
    """A pack's file cannot be read, or says something impossible. `faults` has a line for each of its mistakes."""

    def __init__(self, reason: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.faults = faults


class FetchError(CommandError):
    """A file cannot be fetched, or has the wrong checksum."""


class GraphError(CommandError):
    """A model's graph is not what its pack says it is."""


class ParityError(CommandError):
    """A served graph does not give the published model's answers."""


class EngineError(CommandError):
    """An engine cannot be built, or must not be installed or served."""


class UnfitError(EngineError):
    """Models that failed their accuracy check, by name in `models`: they must not be served."""

    def __init__(self, reason: str, models: frozenset[str]) -> None:
        super().__init__(reason)
        self.models = models
