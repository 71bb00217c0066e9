"""The decoder of image files: headers, limits, pixels and orientation. Needs the extra `draw` (numpy and OpenCV)."""
