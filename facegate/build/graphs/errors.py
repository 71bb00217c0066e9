"""What is wrong with a net's file."""


class GraphError(ValueError):
    """A net's graph is not what its pack says it is."""
