"""What the gateway does for every wire, against a Triton that answers as told and people in memory."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from facegate.gateway.errors import Code, GatewayError, Violation, failure_of
from facegate.gateway.faces import FaceGateway
from facegate_client import contract
from facegate_client.errors import BadImage, LivenessUnavailable, Overloaded, ServerFault, Unreachable
from facegate_client.transport.base import Answer, Call
from support.galleries import opened
from support.memory_gallery import MemoryGallery

REAL, FAKE = True, False


class Triton:
    """Sees in an image what its bytes say: JSON of the angle of an embedding in degrees, whether the face is real, and
    how many faces there are."""

    def __init__(self, *, digest: str = "e" * 64) -> None:
        self.digest = digest
        self.asked: list[Call] = []
        self.cancelled = 0

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        self.asked.append(call)
        seen = json.loads(call.inputs[0].values[0])
        if seen == "slow":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if isinstance(seen, str):
            raise {"full": Overloaded("full"), "no liveness": LivenessUnavailable("none")}[seen]
        faces, count = ([], 0) if seen is None else ([seen[:2]], seen[2])
        several_faces = call.parameters.get(contract.SEVERAL_FACES)
        if several_faces == "refuse" and count > 1:
            raise BadImage(f"IMAGE: expected one face, found {count}; send several_faces=largest")
        outputs = {
            "BOXES": np.array([[10, 20, 30, 40]] * len(faces), np.float32).reshape(-1, 4),
            "SCORES": np.array([0.9] * len(faces), np.float32),
            "LANDMARKS": np.zeros((len(faces), 5, 2), np.float32),
            "EMBEDDINGS": np.array([_at(angle) for angle, _ in faces], np.float32).reshape(-1, 2),
            "MODEL": np.array([json.dumps(self._model()).encode()], object),
        }
        if call.parameters[contract.ANTI_SPOOFING]:
            outputs["IS_REAL"] = np.array([is_real for _, is_real in faces], bool)
            outputs["ANTISPOOF_SCORE"] = np.array([0.9 if is_real else 0.1 for _, is_real in faces], np.float32)
        if several_faces:
            outputs["FACE_COUNT"] = np.array([count], np.int32)
        return Answer(outputs)

    def _model(self) -> dict[str, object]:
        names = {"pack": "made", "licence": "MIT", "commercial_use": True, "digest": "d" * 64, "precision": "fp32"}
        return {**names, "embedding_digest": self.digest, "threshold": 0.4}


def _at(degrees: float) -> list[float]:
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))]


def photo(degrees: float, is_real: bool = REAL, count: int = 1) -> bytes:
    return json.dumps([degrees, is_real, count]).encode()


NOBODY = b"null"


def gateway(triton: Triton | None = None) -> FaceGateway:
    return FaceGateway(triton or Triton(), MemoryGallery())


async def enroll(faces: FaceGateway, name: str, *images: bytes, anti_spoofing: bool = True, person_id: str = ""):
    return await faces.enroll(
        images, name=name, labels={}, anti_spoofing=anti_spoofing, person_id=person_id, timeout_s=5
    )


async def identify(faces: FaceGateway, image: bytes, *, anti_spoofing=True, top_k=5, threshold=None, margin=0.0):
    return await faces.identify(
        image, anti_spoofing=anti_spoofing, top_k=top_k, threshold=threshold, margin=margin, timeout_s=5
    )


def refused(coroutine) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        asyncio.run(coroutine)
    return caught.value


async def three_people() -> FaceGateway:
    faces = gateway()
    for name, degrees in (("ada", 0), ("bea", 30), ("cleo", 90)):
        await enroll(faces, name, photo(degrees))
    return faces


def test_the_nearest_people_come_first_and_match_under_the_packs_threshold():
    async def run():
        return await identify(await three_people(), photo(10))

    found = asyncio.run(run())
    assert [match.person.name for match in found.matches] == ["ada", "bea", "cleo"]
    assert [match.match for match in found.matches] == [True, True, False]
    assert found.threshold == 0.4
    assert found.matches[0].distance == pytest.approx(1 - np.cos(np.radians(10)), abs=1e-6)
    assert found.matches[0].confidence == pytest.approx(100 * (1 - found.matches[0].distance / 0.4))
    assert found.matches[2].confidence == 0
    assert found.face.is_real is True


def test_a_callers_threshold_replaces_the_packs():
    async def run():
        return await identify(await three_people(), photo(10), threshold=0.01)

    assert [match.match for match in asyncio.run(run()).matches] == [False, False, False]


@pytest.mark.parametrize(
    ("degrees", "matches", "ambiguous"), [(2, [True, False, False], False), (15, [False] * 3, True)]
)
def test_with_a_margin_only_a_first_who_is_clear_of_the_second_matches(degrees, matches, ambiguous):
    async def run():
        return await identify(await three_people(), photo(degrees), margin=0.05)

    found = asyncio.run(run())
    assert [match.match for match in found.matches] == matches
    assert found.ambiguous is ambiguous


def test_of_two_who_are_equally_near_neither_matches():
    async def run():
        faces = gateway()
        for name in ("ada", "eve"):
            await enroll(faces, name, photo(0))
        return await identify(faces, photo(0))

    found = asyncio.run(run())
    assert found.ambiguous
    assert [match.match for match in found.matches] == [False, False]


@pytest.mark.parametrize("degrees", [float("nan"), None])
def test_an_embedding_that_is_not_of_length_one_is_a_fault_and_no_match(degrees, monkeypatch):
    monkeypatch.setitem(globals(), "_at", lambda angle: [float("nan") if degrees is not None else 0.5, 0.5])
    with pytest.raises(ServerFault):
        asyncio.run(identify(gateway(), photo(0)))


@pytest.mark.parametrize("length", [0.9992, 1.0008])
def test_an_embedding_of_almost_length_one_is_stored_and_searched_as_of_length_one(length, monkeypatch, tmp_path):
    monkeypatch.setitem(globals(), "_at", lambda angle: [length, 0.0])

    async def run():
        async with opened(str(tmp_path / "people.db")) as gallery:
            faces = FaceGateway(Triton(), gallery)
            await enroll(faces, "Ada", photo(0))
            return await identify(faces, photo(0))

    (match,) = asyncio.run(run()).matches
    assert match.match
    assert match.distance == pytest.approx(0, abs=1e-6)


def test_the_margin_counts_though_one_person_is_asked_for():
    async def run():
        return await identify(await three_people(), photo(15), margin=0.05, top_k=1)

    found = asyncio.run(run())
    assert len(found.matches) == 1
    assert found.ambiguous and not found.matches[0].match


def test_a_face_that_is_not_live_is_nobodys():
    async def run():
        return await identify(await three_people(), photo(0, FAKE))

    found = asyncio.run(run())
    assert found.matches == () and found.face.is_real is False and not found.ambiguous


def test_without_the_check_liveness_is_absent_and_not_false():
    async def run():
        return await identify(await three_people(), photo(0, FAKE), anti_spoofing=False)

    found = asyncio.run(run())
    assert found.face.is_real is None and found.face.antispoof_score is None
    assert found.matches[0].match


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_fake_photo_of_three_and_nobody_is_remembered(at):
    faces = gateway()
    images = [photo(0)] * 3
    images[at] = photo(0, FAKE)
    error = refused(enroll(faces, "ada", *images))
    assert error.failure.code is Code.NOT_LIVE
    assert [each.field for each in error.failure.violations] == [f"images[{at}]"]
    assert asyncio.run(faces.people(after="", count=10)) == ([], False)


def test_a_photo_without_a_face_is_named_and_nobody_is_remembered():
    faces = gateway()
    error = refused(enroll(faces, "ada", photo(0), NOBODY))
    assert error.failure.code is Code.NOT_FOUND
    assert [each.field for each in error.failure.violations] == ["images[1]"]
    assert asyncio.run(faces.people(after="", count=10)) == ([], False)


def test_a_photo_of_several_faces_is_named_and_nobody_is_remembered():
    faces = gateway()
    error = refused(enroll(faces, "ada", photo(0), photo(0, count=6)))
    assert error.failure.code is Code.INVALID_ARGUMENT
    assert [each.field for each in error.failure.violations] == ["images[1]"]
    assert error.failure.message.startswith("images[1]: ") and "6" in error.failure.message
    assert asyncio.run(faces.people(after="", count=10)) == ([], False)


def test_each_request_has_a_default_for_several_faces_and_may_override_it():
    async def run():
        triton = Triton()
        faces = gateway(triton)
        group, common = photo(0, count=6), {"anti_spoofing": False, "timeout_s": 5}
        asked = {"name": "ada", "labels": {}, "person_id": "", **common}
        enrolled = [await faces.enroll([group, photo(0)], several_faces="largest", **asked)]
        enrolled.append(await faces.enroll([photo(0)], **asked))
        searched = {"top_k": 1, "threshold": None, "margin": 0.0, **common}
        found = [await faces.identify(group, **searched), await faces.identify(group, several_faces="best", **searched)]
        embedded = [
            await faces.embed(group, timeout_s=5),
            await faces.embed(group, several_faces="largest", timeout_s=5),
        ]
        options = {"embeddings": True, **common}
        analyzed = [await faces.analyze(group, **options), await faces.analyze(group, several_faces="best", **options)]
        assert [each.face_counts for each in enrolled] == [(6, 1), (1,)]
        assert [each.face_count for each in (*found, *embedded, *analyzed)] == [6, 6, 6, 6, None, 6]
        return [call.parameters.get(contract.SEVERAL_FACES) for call in triton.asked]

    assert asyncio.run(run()) == [
        *("largest", "largest", "refuse"),
        *("largest", "best"),
        *("best", "largest"),
        *(None, "best"),
    ]


def test_a_choice_of_a_face_that_does_not_exist_is_refused_before_any_work():
    triton = Triton()
    faces, common = gateway(triton), {"anti_spoofing": False, "several_faces": "first", "timeout_s": 5}
    for asked in (
        faces.verify(photo(0), photo(0), threshold=None, **common),
        faces.analyze(photo(0), embeddings=True, **common),
        faces.embed(photo(0), several_faces="", timeout_s=5),
        faces.enroll([photo(0)], name="ada", labels={}, person_id="", **common),
        faces.identify(photo(0), top_k=1, threshold=None, margin=0.0, **common),
    ):
        failure = refused(asked).failure
        assert failure.code is Code.INVALID_ARGUMENT
        assert [each.field for each in failure.violations] == ["several_faces"]
    assert not triton.asked


def test_more_photos_of_a_person_and_the_nearest_of_them_counts():
    async def run():
        faces = gateway()
        ada = (await enroll(faces, "ada", photo(0))).person
        more = (await enroll(faces, "", photo(80), photo(85), person_id=ada.id)).person
        return ada, more, await identify(faces, photo(80))

    ada, more, found = asyncio.run(run())
    assert (more.id, more.name, more.photos) == (ada.id, "ada", 3)
    assert found.matches[0].distance == pytest.approx(0, abs=1e-6)
    assert len(found.matches) == 1


def test_embeddings_of_another_recognizer_are_never_compared():
    async def run():
        faces = await three_people()
        other = FaceGateway(Triton(digest="f" * 64), faces.gallery)
        return await identify(other, photo(0))

    assert asyncio.run(run()).matches == ()


def test_a_liveness_check_that_cannot_run_enrols_and_identifies_nobody():
    faces = gateway()
    for asked in (enroll(faces, "ada", photo(0), b'"no liveness"'), identify(faces, b'"no liveness"')):
        with pytest.raises(LivenessUnavailable):
            asyncio.run(asked)
    assert asyncio.run(faces.people(after="", count=10)) == ([], False)


def test_one_error_ends_the_other_photos_calls():
    triton = Triton()
    with pytest.raises(Overloaded):
        asyncio.run(enroll(gateway(triton), "ada", b'"slow"', b'"full"'))
    assert triton.cancelled == 1


def test_a_caller_who_leaves_ends_tritons_calls():
    async def run():
        triton = Triton()
        task = asyncio.ensure_future(enroll(gateway(triton), "ada", b'"slow"', b'"slow"'))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        return triton.cancelled

    assert asyncio.run(run()) == 2


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": "Ada\u2028Bea"}, "name"),
        ({"name": "Ada\u2029"}, "name"),
        ({"name": "\u202eadA"}, "name"),
        ({"labels": {"\u2066x": "y"}}, "labels"),
        ({"labels": {"": "x"}}, "labels"),
        ({"labels": {"x": "y" * 201}}, "labels"),
        ({"labels": {str(number): "" for number in range(33)}}, "labels"),
        ({"labels": {"x": "\x1b[2J"}}, "labels"),
        ({"images": []}, "images"),
        ({"images": [photo(0)] * 17}, "images"),
        ({"person_id": "abc"}, "person_id"),
        ({"person_id": "abc", "name": "", "labels": {"x": "y"}}, "person_id"),
    ],
)
def test_what_cannot_be_remembered_is_refused_before_any_work(changed, field):
    triton = Triton()
    asked = {"images": [photo(0)], "name": "ada", "labels": {}, "person_id": "", **changed}
    images = asked.pop("images")
    error = refused(gateway(triton).enroll(images, anti_spoofing=False, timeout_s=5, **asked))
    assert error.failure.code is Code.INVALID_ARGUMENT
    assert [each.field for each in error.failure.violations] == [field]
    assert not triton.asked


@pytest.mark.parametrize("name", ["گل\u200cپری", "दीक्\u200dषा", "עדה", "李 小龍", "O'Hara-Ünal 👩\u200d🔬"])
def test_names_of_every_script_are_remembered_as_they_are(name):
    async def run():
        return await enroll(gateway(), name, photo(0))

    assert asyncio.run(run()).person.name == name


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"top_k": 0}, "top_k"),
        ({"top_k": 10**4199}, "top_k"),
        ({"threshold": 5e-324 - 1e308}, "threshold"),
        ({"top_k": 101}, "top_k"),
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": 2.1}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"margin": -0.1}, "margin"),
        ({"margin": float("nan")}, "margin"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_before_any_work(changed, field):
    triton = Triton()
    error = refused(identify(gateway(triton), photo(0), **changed))
    assert error.failure.code is Code.INVALID_ARGUMENT
    assert [each.field for each in error.failure.violations] == [field]
    assert len(error.failure.message) < 100
    assert not triton.asked


@pytest.mark.parametrize("count", [0, -1, 1001, 10**4199])
def test_a_page_has_a_number_of_people_that_can_be(count):
    error = refused(gateway().people(after="", count=count))
    assert [each.field for each in error.failure.violations] == ["page_size"]
    assert error.failure.message.startswith(f"page_size: expected 1 to 1000, got {count}"[:50])
    assert len(error.failure.message) < 100


@pytest.mark.parametrize("person_id", ["", "nobody", "../etc", "\ud800", "x" * 65, "a\0"])
def test_forgetting_a_stranger_is_not_found(person_id):
    assert refused(gateway().forget(person_id)).failure.code is Code.NOT_FOUND


class SlowTriton(Triton):
    """Takes a while for each answer, the longer the smaller the angle, and counts what is under way."""

    under_way = 0
    most = 0

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.01 if call.model == contract.VERIFY else 0.002 * (17 - len(self.asked) % 17))
            return await super().infer(call, timeout_s)
        finally:
            self.under_way -= 1


def test_enrolments_together_have_two_to_four_calls_under_way_and_keep_their_photos_order():
    triton = SlowTriton()
    angles = [[person * 20 + number for number in range(16)] for person in range(5)]

    async def run():
        faces = gateway(triton)
        return await asyncio.gather(
            *(enroll(faces, f"person {row[0]}", *map(photo, row)) for row in angles),
        )

    enrolled = asyncio.run(run())
    assert 2 <= triton.most <= 4
    for row, enrolment in zip(angles, enrolled, strict=True):
        assert enrolment.person.photos == 16
        found = [np.degrees(np.arctan2(*face.embedding[::-1])) for face in enrolment.faces]
        assert found == pytest.approx(row, abs=1e-3)


def test_no_photo_is_looked_at_any_more_after_one_without_a_face():
    triton = SlowTriton()
    images = [photo(0), NOBODY, *(photo(degrees) for degrees in range(14))]
    assert refused(enroll(gateway(triton), "ada", *images)).failure.code is Code.NOT_FOUND
    assert len(triton.asked) <= 4


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Overloaded("full"), Code.RESOURCE_EXHAUSTED),
        (Overloaded(contract.STOPPING_REASON), Code.UNAVAILABLE),
        (Unreachable("connection refused to 10.0.0.7:8001"), Code.UNAVAILABLE),
        (LivenessUnavailable("no nets"), Code.FAILED_PRECONDITION),
        (ServerFault("a fault in face_verify; the server's log has incident 0123abcd"), Code.INTERNAL),
    ],
)
def test_what_triton_says_has_one_code_on_every_wire(error, code):
    failure = failure_of(error)
    assert failure.code is code
    assert "10.0.0.7" not in failure.message


@pytest.mark.parametrize("error", [ValueError("/secret/path"), ServerFault("the answer lacks BOXES")])
def test_an_internal_error_without_a_number_in_a_log_says_nothing_to_the_caller(error):
    assert failure_of(error) is None


def test_statuses_are_those_of_the_table():
    assert {code.name: code.http for code in Code} == {
        "INVALID_ARGUMENT": 400,
        "UNAUTHENTICATED": 401,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "METHOD_NOT_ALLOWED": 405,
        "FAILED_PRECONDITION": 412,
        "PAYLOAD_TOO_LARGE": 413,
        "UNSUPPORTED_MEDIA_TYPE": 415,
        "NOT_LIVE": 422,
        "RESOURCE_EXHAUSTED": 429,
        "INTERNAL": 500,
        "UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
    }
    assert GatewayError(Code.INTERNAL, "x", "y").failure.violations == (Violation("y", "x"),)
