"""Build time: from a model pack to a repository that Triton can serve."""
