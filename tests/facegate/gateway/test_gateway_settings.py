"""What `facegate gateway` refuses in one line before anything starts: keys, TLS files and addresses that cannot be."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner

from facegate.cli.app import app
from facegate.cli.console import packages_for
from facegate.errors import CommandError
from facegate.gateway import running
from support.certificates import make_certificates

KEY = "desk-" + 16 * "d"
PREFIX = "FACEGATE_GATEWAY_"
JUNK = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture
def settings(monkeypatch):
    """What a gateway would be started with, or the line by which it is refused: with options, and with variables."""
    begun = []
    monkeypatch.setattr(running, "run", lambda made, say: begun.append(made))

    def settings(*options, **variables):
        ended = CliRunner().invoke(
            app, ["gateway", *map(str, options)], env={PREFIX + k: v for k, v in variables.items()}
        )
        if begun:
            return begun.pop()
        assert ended.exit_code == 1
        (line,) = ended.stderr.splitlines()
        return line.removeprefix("facegate: ")

    return settings


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def junk(tmp_path):
    (tmp_path / "junk.pem").write_text(JUNK)
    return tmp_path / "junk.pem"


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "keys").write_text(f"desk {KEY}\n")
    (tmp_path / "keys").chmod(0o600)
    return tmp_path / "keys"


def test_without_any_of_it_a_gateway_is_for_this_machine_and_has_no_keys(settings):
    made = settings()
    assert (made.keys, made.tls, made.is_local, made.triton) == (None, None, True, "127.0.0.1:8001")


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_keys_that_are_none_do_not_mean_without_keys(settings, keys, text):
    expected = f"{PREFIX}API_KEYS: no key in it; expected name:key,name:key"
    assert settings(API_KEYS=text) == expected
    assert settings("--api-keys-file", keys, API_KEYS=text) == expected
    assert settings("--without-keys", API_KEYS=text) == expected


@pytest.mark.parametrize(
    "name", ["API_KEYS_FILE", "TLS_CERTIFICATE", "TLS_CLIENT_CA", "REQUIRE_LIVENESS", "MAX_THRESHOLD"]
)
def test_an_empty_variable_of_a_restriction_is_refused(settings, name):
    assert settings(**{name: ""}).startswith(f"{PREFIX}{name} ")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("API_KEY", f"desk:{KEY}", f"did you mean {PREFIX}API_KEYS?"),
        ("TLS_CLIENTCA", "ca.pem", f"did you mean {PREFIX}TLS_CLIENT_CA?"),
        ("PORT", "8080", f"did you mean {PREFIX}HTTP_PORT?"),
        ("QQQ", "", "unset it"),
    ],
)
def test_a_variable_that_is_misspelt_is_refused_and_not_ignored(settings, name, value, told):
    assert settings(**{name: value}) == f"{PREFIX}{name} is not a setting of FaceGate: {told}"


def test_what_kubernetes_says_of_a_service_of_our_name_does_not_stop_it(settings):
    tcp, port = "tcp://10.0.0.7:8080", {"PROTO": "tcp", "PORT": "8080", "ADDR": "10.0.0.7"}
    variables = {"SERVICE_HOST": "10.0.0.7", "SERVICE_PORT": "8080", "SERVICE_PORT_REST": "8080", "PORT": tcp}
    variables |= {"PORT_8080_TCP": tcp, **{f"PORT_8080_TCP_{name}": value for name, value in port.items()}}
    variables |= {f"METRICS_{name}": value for name, value in variables.items()}
    assert settings(**variables).keys is None


def test_keys_of_both_places_count(settings, keys):
    made = settings("--api-keys-file", keys, API_KEYS=f"gate:{KEY[::-1]}")
    assert [made.keys.name_of(key) for key in (KEY, KEY[::-1], "x")] == ["desk", "gate", None]


def test_a_keys_file_that_is_no_text_is_refused(settings, keys):
    keys.write_bytes(b"desk \xff\xfe" + KEY.encode())
    assert settings("--api-keys-file", keys) == f"{keys}: is not UTF-8; expected a name and a key in each line"


def test_a_certificate_its_key_and_an_authority_are_taken(settings, certificates):
    options = ("--tls-certificate", certificates.server, "--tls-key", certificates.server_key)
    made = settings(*options, "--tls-client-ca", certificates.ca)
    assert (made.tls.certificate, made.tls.key, made.tls.client_ca) == (
        certificates.server,
        certificates.server_key,
        certificates.ca,
    )


@pytest.mark.parametrize("who", ["", "triton-"])
def test_tls_files_that_cannot_be_used_are_named_with_what_is_wrong(settings, certificates, junk, tmp_path, who):
    authority = "--triton-tls-ca" if who else "--tls-client-ca"

    def refusal(certificate, key, ca=certificates.ca):
        return settings(f"--{who}tls-certificate", certificate, f"--{who}tls-key", key, authority, ca)

    server, key, nothing = certificates.server, certificates.server_key, tmp_path / "nothing"
    nothing.touch()
    assert refusal(server, certificates.client_key) == f"{certificates.client_key}: is not the key of {server}"
    assert refusal(server, of_another_kind(tmp_path)).endswith(f"is not the key of {server}")
    assert refusal(junk, key) == f"{junk}: no certificate (PEM) in it, or a damaged one"
    assert refusal(key, key) == f"{key}: no certificate (PEM) in it, or a damaged one"
    assert refusal(server, junk) == f"{junk}: no private key (PEM) in it"
    assert refusal(server, server) == f"{server}: no private key (PEM) in it"
    assert refusal(server, key, junk) == f"{junk}: no certificate (PEM) in it, or a damaged one"
    assert refusal(server, key, nothing) == f"{nothing}: no certificate (PEM) in it, or a damaged one"
    sealed = with_a_passphrase(key, tmp_path)
    assert refusal(server, sealed).startswith(f"{sealed}: the key has a passphrase")


@pytest.mark.parametrize("option", ["--api-keys-file", "--tls-certificate", "--tls-client-ca", "--triton-tls-ca"])
@pytest.mark.parametrize("name", ["", "not-there"])
def test_a_folder_or_a_file_that_is_not_there_is_named(tmp_path, option, name):
    ended = CliRunner().invoke(app, ["gateway", option, str(tmp_path / name)])
    assert ended.exit_code == 2
    assert option in ended.stderr


def of_another_kind(folder):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return written(key, folder / "rsa.key", serialization.NoEncryption())


def with_a_passphrase(key, folder):
    made = serialization.load_pem_private_key(key.read_bytes(), None)
    return written(made, folder / "sealed.key", serialization.BestAvailableEncryption(b"passphrase"))


def written(key, file, sealing):
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealing)
    file.write_bytes(pem)
    return file


@pytest.mark.parametrize(
    "url", ["triton:8001", "10.0.0.7:8001", "[::1]:8001", "http://triton:8000", "http://[::1]:8000"]
)
def test_tritons_address_is_of_its_grpc_or_its_http(settings, url):
    assert settings("--url", url).triton == url


@pytest.mark.parametrize(
    "url",
    [
        "https://triton:8000",
        "grpc://triton:8001",
        "unix:/triton",
        "triton",
        "http://triton",
        "http://triton:8000/v2",
        "ada:secret@triton:8001",
        "http://ada:secret@triton:8000",
        "tri ton:8001",
        "triton:8001\n",
        ":8001",
        "triton:99999",
        "triton:65536",
        "triton:0",
        "",
    ],
)
def test_any_other_address_of_triton_is_refused(settings, url):
    line = settings("--url", url)
    assert line.startswith("--url: expected host:port of Triton's gRPC, or http://host:port of its HTTP; ")
    assert "secret" not in line


def test_only_packages_that_pip_knows_are_to_be_installed():
    with pytest.raises(CommandError, match=r"pip install 'facegate\[gateway\]'"), packages_for("gateway"):
        raise ModuleNotFoundError("No module named 'uvicorn.config'", name="uvicorn.config")
    with pytest.raises(ModuleNotFoundError), packages_for("gateway"):
        raise ModuleNotFoundError("No module named 'facegate.gateway.gone'", name="facegate.gateway.gone")


@pytest.mark.parametrize("address", ["postgresql://gate:{}@db/people", "postgres://db/people?user=gate&password={}"])
def test_a_databases_password_on_the_command_line_is_refused(settings, address):
    refusal = settings("--gallery", address.format("hunter2"))
    assert "FACEGATE_GATEWAY_GALLERY" in refusal and "hunter2" not in refusal
    assert settings(GALLERY=address.format("hunter2")).gallery == address.format("hunter2")
    assert settings("--gallery", "postgresql://gate@db/people").gallery == "postgresql://gate@db/people"
