"""The commands of `facegate`."""
