"""A clock of the test's own."""


class Clock:
    """Says `now`, in seconds, until the test changes it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now
