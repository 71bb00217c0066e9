"""The client's fallback: the pipeline in the client's own process."""
