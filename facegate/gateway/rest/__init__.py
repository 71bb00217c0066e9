"""Plain JSON over HTTP, with LocalAI's field names."""
