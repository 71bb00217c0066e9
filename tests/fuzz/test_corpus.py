"""Every input that fuzzing kept still ends as it should. Needs no atheris: the targets are those that are fuzzed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import fuzz_decode, fuzz_request, seeds

CORPUS = Path(__file__).parent / "corpus"
TARGETS: dict[str, Callable[[bytes], None]] = {"decode": fuzz_decode.target, "request": fuzz_request.target}


@pytest.mark.parametrize(("name", "file"), [(path.parent.name, path.name) for path in sorted(CORPUS.glob("*/*"))])
def test_what_was_kept_is_a_value_or_a_refusal(name: str, file: str) -> None:
    TARGETS[name]((CORPUS / name / file).read_bytes())


def test_what_fuzzing_starts_from_is_too() -> None:
    for data in seeds.decode_seeds():
        fuzz_decode.target(data)
    for data in seeds.request_seeds():
        fuzz_request.target(data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_stays_small(name: str) -> None:
    files = list((CORPUS / name).iterdir())
    assert 10 < len(files) < 200
    assert sum(file.stat().st_size for file in files) < 300_000
