"""How frames get to the server."""
