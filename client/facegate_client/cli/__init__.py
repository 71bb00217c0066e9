"""The command `faceclient`."""
