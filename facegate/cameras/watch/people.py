"""The people to watch for: reference photos, and what the server makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegate_client.async_client import AsyncFaceClient
from facegate_client.errors import InvalidRequest, printable
from facegate_client.results import Face, Model


class WatchError(Exception):
    """Somebody cannot be watched for. The message is one line and names the photo or the folder."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One photo's best-detected face, and whose it is: `face` has an embedding, and a liveness where asked for."""

    person: str
    photo: Path
    face: Face


@dataclass(frozen=True, slots=True)
class Nearest:
    """The person of the nearest reference, and its cosine distance, 0-2.

    `verifiable`: a reference of this person that may verify is near enough: any, or, with liveness, a real one.
    """

    person: str
    distance: float
    verifiable: bool


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """All references, made with the nets of `embedding_digest`; only embeddings of the same may be compared.

    `threshold` is the cosine distance below which two faces are one person's. With `anti_spoofing` every reference has
    been checked for liveness, and one that is not real verifies nobody.
    """

    references: tuple[Reference, ...]
    threshold: float
    anti_spoofing: bool
    embedding_digest: str
    _embeddings: NDArray[np.float32] = field(init=False, repr=False)  # [references, D]
    _persons: NDArray[np.str_] = field(init=False, repr=False)  # [references], as the next
    _may_verify: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        faces = [reference.face for reference in self.references]
        columns = {
            "_embeddings": np.array([face.embedding for face in faces], np.float32),
            "_persons": np.array([reference.person for reference in self.references]),
            "_may_verify": np.array([face.is_real is True or not self.anti_spoofing for face in faces]),
        }
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    def nearest(self, embedding: NDArray[np.float32]) -> Nearest:
        """`embedding`: float32 [D], L2-normalised, of the same `embedding_digest`."""
        distances = self._distances(embedding)
        at = int(np.argmin(distances))
        verify = self._may_verify & (self._persons == self._persons[at]) & (distances < self.threshold)
        return Nearest(self.references[at].person, float(distances[at]), bool(verify.any()))

    def distance(self, person: str, embedding: NDArray[np.float32]) -> float:
        """To the nearest reference of `person`, who must be one of them."""
        return float(self._distances(embedding)[self._persons == person].min())

    def _distances(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        cosines = (self._embeddings @ embedding).astype(np.float64)
        return np.clip(1.0 - cosines, 0.0, 2.0)  # rounding leaves a face about 1e-7 from itself, on either side


async def load(
    client: AsyncFaceClient,
    paths: Iterable[Path],
    *,
    anti_spoofing: bool,
    threshold: float | None = None,
    say: Callable[[str], None],
) -> People:
    """The people whom `paths` show, described by the server; `threshold` None is the server's own.

    A photo is the person of its name without suffix. A folder holds photos, one a person, and folders, each with the
    photos of the one person whom it is named after. `say` takes one-line warnings. Raises WatchError where a photo
    is unreadable or without a face, and the client's FaceGateError where the server does not answer.
    """
    photos = await asyncio.to_thread(_find, list(paths))
    references: list[Reference] = []
    models: set[tuple[str, float]] = set()
    for person, photo in photos:
        face, model = await _describe(client, photo, anti_spoofing, say)
        references.append(Reference(person, photo, face))
        models.add((model.embedding_digest, model.threshold))
    if len(models) != 1:
        raise WatchError("the server changed its models while the people to watch were loaded; load them again")
    ((embedding_digest, own_threshold),) = models
    threshold = own_threshold if threshold is None else threshold
    if not 0.0 < threshold <= 2.0:  # NaN fails too
        raise WatchError(f"threshold: expected a cosine distance in (0, 2], got {threshold}")
    return People(tuple(references), threshold, anti_spoofing, embedding_digest)


async def _describe(
    client: AsyncFaceClient, photo: Path, anti_spoofing: bool, say: Callable[[str], None]
) -> tuple[Face, Model]:
    try:
        faces = await client.analyze(photo, anti_spoofing=anti_spoofing, max_faces=2)
    except InvalidRequest as error:
        raise WatchError(f"{photo} cannot be watched for: {error}; give another picture, or move it away") from error
    if not faces:
        raise WatchError(f"{photo} shows no face; use a picture that shows it larger or sharper")
    face = faces[0]
    if face.embedding is None or (anti_spoofing and face.is_real is None):
        raise WatchError(f"{photo}: the server did not describe its face ({face.error or 'no reason given'})")
    if len(faces) > 1:
        say(f"{photo} shows several faces; the best-detected one is watched for")
    if face.is_real is False:
        say(f"{photo} is not live (P(real) {face.antispoof_score:.2f}): nobody will be verified by it")
    return face, faces.model


def _find(paths: list[Path]) -> list[tuple[str, Path]]:
    """(person, photo), all of them. Whatever lies in a folder is meant to be a photo: nobody is left out in silence."""
    photos: list[tuple[str, Path]] = []
    origins: dict[str, Path] = {}
    for path in paths:
        for origin in _entries(path) if path.is_dir() else [path]:
            folder = origin.is_dir()
            person = printable(origin.name if folder else origin.stem, joiners=True)
            if origins.setdefault(person, origin) != origin:  # else two people would be taken for one
                raise WatchError(
                    f"{origins[person]} and {origin} are both called {person!r}: rename one, "
                    f"or put all photos of one person into a folder {person!r}"
                )
            photos += [(person, photo) for photo in (_entries(origin) if folder else [origin])]
    if not photos:
        raise WatchError("nobody to watch for: no photo was given")
    return photos


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise WatchError(f"cannot read {folder}: {error.strerror}") from error
    if not entries:
        raise WatchError(f"{folder} holds no photo")
    return entries
