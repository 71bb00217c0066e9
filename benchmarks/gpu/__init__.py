"""What runs on a machine's GPU, how right and how fast."""
