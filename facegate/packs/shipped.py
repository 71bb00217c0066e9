"""The shipped packs and sample pictures by name."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from facegate.errors import PackError
from facegate.packs.pack_file import PackFile, WeightFile, load_pack, read_toml

FOLDER = Path(__file__).resolve().parent


def shipped_packs() -> list[str]:
    """Returns the names of the shipped packs."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem != "samples")


def pack_named(name: str) -> PackFile:
    """Returns the shipped pack `name`, or the one in the file `name` where that ends in .toml.

    Raises PackError, which lists the packs there are.
    """
    known = shipped_packs()
    if name in known:
        pack = load_pack(FOLDER / f"{name}.toml")
        if pack.name != name:
            raise PackError(f"packs/{name}.toml: name: is {pack.name!r}, and has to be the file's")
        return pack
    if not name.endswith(".toml"):
        raise PackError(f"no pack {name!r}; there are {', '.join(known)}, and your own by the path of its .toml")
    pack = load_pack(Path(name))
    if pack.name in known and Path(name).resolve() != FOLDER / f"{pack.name}.toml":
        raise PackError(f"{name}: name: {pack.name!r} is one of this project's own packs; choose another")
    return pack


def sample_pictures() -> dict[str, WeightFile]:
    """Returns the pictures that every pack is proved on, by name."""
    return TypeAdapter(dict[str, WeightFile]).validate_python(read_toml(FOLDER / "samples.toml"))
