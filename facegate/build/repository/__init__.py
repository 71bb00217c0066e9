"""The model repository that Triton serves, and what is recorded of it."""
