"""The gallery in one SQLite file."""
