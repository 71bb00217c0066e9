"""How requests reach Triton: over gRPC or HTTP, blocking or not."""
