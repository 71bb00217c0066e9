"""FaceService, the gateway's own interface over gRPC, and its clients (extra `gateway`)."""
