"""Camera pipelines: frames from many sources, faces followed and judged by a server. Needs the extra `camera`."""
