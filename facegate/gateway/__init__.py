"""The gateway: FaceService and LocalAI's wire over gRPC, plain JSON over HTTP, and the people it remembers."""
