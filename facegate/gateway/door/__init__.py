"""What stands between the network and the faces: keys, limits, request ids, logs, metrics, health."""
