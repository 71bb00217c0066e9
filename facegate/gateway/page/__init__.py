"""The page at `/`: files that are served as they are, and the header that they are served with."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
"""index.html, and what it asks for. Nothing here is a template, and nothing of a server is ever markup in it."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
}
"""For every file of the page: stricter than for /docs, whose scripts write markup."""
