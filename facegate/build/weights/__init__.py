"""Fetches weights and sample pictures, each checked by its SHA-256."""
