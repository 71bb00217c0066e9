"""Checks that converted models and engines give the answers of the published models."""
