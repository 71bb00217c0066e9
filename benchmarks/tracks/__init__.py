"""How well faces are followed, on made scenes."""
