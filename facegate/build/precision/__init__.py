"""FP16 and INT8 in the served graphs themselves."""
