"""The bytes of a message are looked at before they are parsed: what would be skipped in them is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.gateway.door.grpc_unknown import MOST_FIELDS, refuse_unread
from facegate.gateway.errors import Code, GatewayError
from facegate.gateway.localai import backend_pb2
from facegate_client.service import face_service_pb2 as pb

ENROLL, VERIFY = pb.EnrollRequest.DESCRIPTOR, pb.VerifyRequest.DESCRIPTOR


def refused(message, kind, **options):
    """The fields that are named."""
    with pytest.raises(GatewayError) as raised:
        refuse_unread(message, kind, **options)
    assert raised.value.failure.code is Code.INVALID_ARGUMENT
    return [each.field for each in raised.value.failure.violations]


IMAGES = st.one_of(
    st.builds(pb.Image, encoded=st.binary(max_size=300)),
    st.builds(
        pb.Image,
        frame=st.builds(pb.Frame, bgr=st.binary(max_size=9), height=st.integers(0, 2**32 - 1), width=st.just(1)),
    ),
)


@given(
    images=st.lists(IMAGES, max_size=16),
    name=st.text(max_size=200),
    labels=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=32),
    anti_spoofing=st.booleans(),
)
def test_what_a_client_writes_passes(images, name, labels, anti_spoofing):
    asked = pb.EnrollRequest(images=images, name=name, labels=labels, anti_spoofing=anti_spoofing)
    refuse_unread(asked.SerializeToString(), ENROLL)


@given(threshold=st.floats(0, 2), anti_spoofing=st.booleans())
def test_numbers_pass_as_what_they_are(threshold, anti_spoofing):
    asked = pb.VerifyRequest(threshold=threshold, anti_spoofing=anti_spoofing)
    refuse_unread(asked.SerializeToString(), VERIFY)
    theirs = backend_pb2.FaceVerifyRequest(threshold=threshold, anti_spoofing=anti_spoofing)
    refuse_unread(theirs.SerializeToString(), backend_pb2.FaceVerifyRequest.DESCRIPTOR, later_fields=True)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (b"\x20\x01\x20\x00", ["anti_spoofing"]),  # true, and then false
        (b"\x20\x01\xa0\x00\x00", ["anti_spoofing"]),  # the same, the second tag written longer
        (b"\x22\x01\x01", ["anti_spoofing"]),
        (b"\x21" + bytes(8), ["anti_spoofing"]),
        (b"\x1a\x00\x1a\x02\x18\x01", ["images[1].3"]),
        (b"\x12\x03\x0a\x01\x61\x12\x02\x18\x01", ["labels[1].3"]),
        (b"\x78\x01", ["15"]),
        (b"\x23\x24", []),  # a group
        (b"\x20", []),
        (b"\x20" + b"\xff" * 11, []),
        (b"\x1a\x7f", []),
        (b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", []),
        (b"\x1a\x02\x0a\x7f" + bytes(127), []),  # longer than the message that it is in
    ],
)
def test_what_would_be_skipped_or_read_otherwise_is_refused(message, fields):
    assert refused(message, ENROLL) == fields


def test_a_later_schema_may_say_more_but_not_otherwise():
    kind = backend_pb2.FaceVerifyRequest.DESCRIPTOR
    refuse_unread(b"\x78\x01\x7a\x01a\x7d" + bytes(4) + b"\x20\x01", kind, later_fields=True)
    assert refused(b"\x22\x04true", kind, later_fields=True) == ["anti_spoofing"]


@pytest.mark.parametrize("field", [b"\x1a\x00", b"\x78\x01"])
def test_a_message_of_very_many_fields_is_not_read_on(field):
    for later_fields in (False, True):
        refused(field * (MOST_FIELDS + 1), ENROLL, later_fields=later_fields)


@given(st.binary(max_size=60), st.booleans())
def test_whatever_comes_is_read_to_its_end_or_refused(message, later_fields):
    try:
        refuse_unread(message, ENROLL, later_fields=later_fields)
    except GatewayError as error:
        assert error.failure.code is Code.INVALID_ARGUMENT
