"""What keeps the server from serving, in one line for the person who started it."""


class ServeError(RuntimeError):
    """The server cannot be started or kept running; `str()` says what is wrong and what to do."""
