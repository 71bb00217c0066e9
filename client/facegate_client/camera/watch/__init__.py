"""People to watch for."""
