"""FaceService's client, and `faceclient people`, at a gateway on a real Triton."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from facegate.gateway.door.keys import Keys
from facegate_client import BadImage, FaceClient, LivenessUnavailable, NoFace, NoSuchPerson, NotAuthenticated, NotLive
from facegate_client.cli.app import app
from facegate_client.service import FaceServiceClient
from support.grpc_gateway import GrpcGateway, grpc_gateway
from support.serving import ROOT

LIVE, SPOOF = "image_T1.jpg", "image_F2.jpg"
KEY = "sixteen-characters-and-more"


@pytest.fixture(scope="module")
def gateway(server) -> Iterator[GrpcGateway]:
    with grpc_gateway(server.grpc, keys=Keys([("door", KEY)])) as running:
        yield running


@pytest.fixture
def client(gateway) -> Iterator[FaceServiceClient]:
    with FaceServiceClient(gateway.address, api_key=KEY) as made:
        yield made
        for person in made.people():
            made.forget(person.id)


@pytest.mark.parametrize("anti_spoofing", [False, True])
def test_verdicts_and_faces_are_the_ones_that_triton_gives(server, client, samples, anti_spoofing):
    with FaceClient(server.grpc) as direct:
        expected = direct.verify(samples[LIVE], samples[SPOOF], anti_spoofing=anti_spoofing)
        got = client.verify(samples[LIVE], samples[SPOOF], anti_spoofing=anti_spoofing)
        assert replace(got, processing_time_ms=0) == replace(expected, processing_time_ms=0)
        faces = direct.analyze(samples[SPOOF], anti_spoofing=anti_spoofing)
        for ask in (client.analyze, lambda image, **options: next(client.analyze_stream([image], **options))):
            found = ask(samples[SPOOF], anti_spoofing=anti_spoofing)
            assert (found, found.model) == (faces, faces.model)
            assert np.array_equal(found[0].embedding, faces[0].embedding)


def test_a_person_is_enrolled_identified_and_forgotten(client, samples):
    with pytest.raises(NotLive):
        client.enroll([samples[LIVE], samples[SPOOF]], name="Ada", anti_spoofing=True)
    ada = client.enroll([samples[LIVE]], name="Ada", labels={"door": "north"}, anti_spoofing=True).person
    assert client.add_photos(ada.id, [samples[LIVE]]).person.photos == 2
    assert client.identify(samples[LIVE], anti_spoofing=True).person == replace(ada, photos=2)
    fake = client.identify(samples[SPOOF], anti_spoofing=True)
    assert (fake.person, fake.matches, fake.is_real) == (None, (), False)
    assert [person.id for person in client.people()] == [ada.id]
    client.forget(ada.id)
    assert client.identify(samples[LIVE]).person is None
    with pytest.raises(NoSuchPerson):
        client.forget(ada.id)


def test_what_goes_wrong_is_the_exception_that_it_is_at_triton(client, samples, server_without_liveness):
    with pytest.raises(BadImage):
        client.verify(b"no image", samples[LIVE])
    with pytest.raises(NoFace) as raised:
        client.verify(samples[LIVE], np.zeros((64, 64, 3), np.uint8))
    assert (raised.value.image, bool(raised.value.request_id)) == (2, True)
    with (
        grpc_gateway(server_without_liveness.grpc) as plain,
        FaceServiceClient(plain.address) as other,
        pytest.raises(LivenessUnavailable),
    ):
        other.identify(samples[LIVE], anti_spoofing=True)


def test_without_its_key_nobody_is_let_in(gateway, samples):
    for key in (None, "another-key-of-sixteen"):
        with FaceServiceClient(gateway.address, api_key=key) as stranger, pytest.raises(NotAuthenticated):
            stranger.identify(samples[LIVE])


@pytest.fixture
def run(gateway, client, monkeypatch) -> Any:
    monkeypatch.setenv("FACEGATE_API_KEY", KEY)
    monkeypatch.setenv("FACEGATE_PEOPLE_URL", gateway.address)
    return lambda *arguments: CliRunner().invoke(app, ["people", *map(str, arguments)])


def test_the_command_line_enrols_identifies_lists_and_forgets(run, samples):
    done = run("enroll", samples[LIVE], "--name", "Ada", "--label", "door=north", "--anti-spoofing")
    assert done.exit_code == 0
    person = done.stdout.strip()
    assert run("enroll", samples[LIVE], "--person", person).stdout.strip() == person
    assert run("list").stdout.startswith(f"{person} Ada, 2 photos, since ")
    assert json.loads(run("list", "--json").stdout)["labels"] == {"door": "north"}
    found = run("identify", samples[LIVE], "--anti-spoofing")
    assert found.exit_code == 0
    assert found.stdout.splitlines()[0] == "identified: Ada"
    assert "live (P(real)" in found.stdout
    assert json.loads(run("identify", samples[LIVE], "--json").stdout)["is_real"] is None
    fake = run("identify", samples[SPOOF], "--anti-spoofing")
    assert (fake.exit_code, fake.stdout.splitlines()[0]) == (1, "not identified: the face is not live")
    assert run("forget", person).exit_code == 0
    nobody = run("identify", samples[LIVE])
    assert (nobody.exit_code, nobody.stdout.splitlines()[0]) == (1, "not identified: nobody who is remembered")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("forget", "nobody"), "'faceclient people list' says who is remembered"),
        (("enroll", "no such file.jpg", "--name", "Ada"), "cannot read no such file.jpg"),
        (("enroll", "a.jpg"), "expected either --name of a new person, or --person"),
        (("enroll", "a.jpg", "--name", "Ada", "--label", "north"), "--label: expected NAME=VALUE"),
        (("list", "--gateway", "127.0.0.1:1"), "start one with 'facegate serve --gateway'"),
    ],
)
def test_the_command_line_says_in_a_line_what_is_wrong(run, arguments, said):
    ran = run(*arguments)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_the_command_line_says_where_its_key_belongs(run, monkeypatch):
    monkeypatch.delenv("FACEGATE_API_KEY")
    ran = run("list")
    assert ran.exit_code == 2
    assert "FACEGATE_API_KEY" in ran.stderr


def test_the_example_in_the_documentation_runs(gateway, client, samples, tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs/grpc.md").read_text()
    block = text[text.index("    from facegate_client import") : text.index("Results are those of")]
    example = textwrap.dedent(block).replace("gate:50051", gateway.address)
    for name in ("passport.jpg", "ada-1.jpg", "ada-2.jpg"):
        (tmp_path / name).write_bytes(samples[LIVE].read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(example.replace("a key of at least 16 characters", KEY), {})
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["the same person, and live", "Ada"]
    assert said[2].endswith(" Ada 2")
    assert list(client.people()) == []
