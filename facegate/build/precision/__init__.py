"""FP16 in the served graphs themselves."""
