"""The command `facegate`: where build time and server meet."""
