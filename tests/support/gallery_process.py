"""A process to be killed: enrols people into a gallery and says whom, and forgets every third again.

`python -m support.gallery_process FILE [KEY]`. Each line of its output was true before it was written.
"""

from __future__ import annotations

import asyncio
import itertools
import sys

import numpy as np
from numpy.typing import NDArray

from support.galleries import ORIGIN, embeddings, opened


def photos_of(name: str) -> NDArray[np.float32]:
    """Of the person of this name: one to five, which nobody else has."""
    number = int(name.partition("-")[2])
    return embeddings(1 + number % 5, seed=number)


async def run(file: str, key: str | None, start: int) -> None:
    """Without an end."""
    numbers = itertools.count(start)

    async def work() -> None:
        for number in numbers:
            name = f"person-{number}"
            person = await gallery.enroll(name, {"number": str(number)}, photos_of(name), ORIGIN)
            print("enrolled", person.id, name, flush=True)
            if number % 3 == 0:
                await gallery.forget(person.id)
                print("forgot", person.id, name, flush=True)

    async with opened(file, key) as gallery:
        await asyncio.gather(work(), work(), work())


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else None, int(sys.argv[2])))
