"""The people to watch for, as a real server describes them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from facegate.cameras.watch.people import People, WatchError, load
from facegate_client import AsyncFaceClient, LivenessUnavailable, Verification
from support.serving import Server


def ask(server: Server, paths: list[Path], **options: Any) -> People:
    async def main() -> People:
        async with AsyncFaceClient(server.grpc) as client:
            return await load(client, paths, say=print, **options)

    return asyncio.run(main())


def test_a_real_server_describes_them(server: Server, samples: dict[str, Path], tmp_path: Path) -> None:
    photos = list(samples.values())
    people = ask(server, photos, anti_spoofing=True)
    assert 0 < people.threshold <= 2
    assert len(people.embedding_digest) == 64
    for at, reference in enumerate(people.references):
        assert reference.face.is_real is not None
        embedding = reference.face.embedding
        assert embedding is not None
        nearest = people.nearest(embedding)
        assert nearest.person == people.references[at].person
        assert nearest.distance == pytest.approx(0, abs=1e-5)
        assert nearest.verifiable == reference.face.is_real

    async def verified(a: Path, b: Path) -> Verification:
        async with AsyncFaceClient(server.grpc) as client:
            return await client.verify(a, b, anti_spoofing=True)

    for reference in people.references[1:]:  # the same as the server's own verification
        result = asyncio.run(verified(photos[0], reference.photo))
        embedding = people.references[0].face.embedding
        assert embedding is not None
        distance = people.distance(reference.person, embedding)
        assert distance == pytest.approx(result.distance, abs=1e-4)
        real = people.references[0].face.is_real is True and reference.face.is_real is True
        assert (real and distance < people.threshold) == result.verified

    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff not a picture")
    with pytest.raises(WatchError, match=r"broken\.jpg cannot be watched for"):
        ask(server, [broken], anti_spoofing=False)


def test_without_liveness_nets_nobody_is_watched_for_with_liveness(
    server_without_liveness: Server, samples: dict[str, Path]
) -> None:
    with pytest.raises(LivenessUnavailable):
        ask(server_without_liveness, [next(iter(samples.values()))], anti_spoofing=True)
