"""A camera without a camera: a made scene, and the truth about it."""
