"""The gRPC wire on which LocalAI talks to a backend for faces."""
