"""Runs the models of a pack."""
