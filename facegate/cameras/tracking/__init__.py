"""Faces followed from frame to frame, and judged."""
