"""What stands in REST's description as an example, and what each failure means."""

from __future__ import annotations

from typing import Any

from facegate.gateway.errors import Code

_PICTURE = "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQAAAQABAAD="
_AREA = {"x": 212.0, "y": 96.5, "w": 180.0, "h": 228.0}
_ID = "2f1c0f7e9a5b4d0c"
_TIME = "2025-06-01T12:00:00.000000Z"
_LIVENESS = {"is_real": True, "antispoof_score": 0.97}
_VERDICT = {
    "verified": True,
    "distance": 0.21,
    "threshold": 0.5,
    "confidence": 58.0,
    "model": "mobileface",
    "img1_area": _AREA,
    "img2_area": _AREA,
    "img1_face_count": 1,
    "img2_face_count": 1,
    "processing_time_ms": 17.5,
}
_VETO = {
    **_VERDICT,
    "verified": False,
    "img1_is_real": True,
    "img1_antispoof_score": 0.97,
    "img2_is_real": False,
    "img2_antispoof_score": 0.02,
}
_FACE = {
    "region": _AREA,
    "face_confidence": 0.93,
    "landmarks": [[262, 190], [340, 188], [301, 230], [270, 270], [334, 268]],
}
_PERSON = {"id": _ID, "name": "Ada", "labels": {"team": "engines"}}
_IDENTIFIED = {
    "matches": [{**_PERSON, "distance": 0.21, "confidence": 58.0, "match": True}],
    "ambiguous": False,
    "threshold": 0.5,
    "face": _AREA,
    "face_count": 1,
    "model": "mobileface",
}

ASKED: dict[str, Any] = {
    "verify": {"img1": _PICTURE, "img2": _PICTURE, "anti_spoofing": True},
    "analyze": {"img": _PICTURE, "anti_spoofing": True},
    "embed": {"img": _PICTURE},
    "register": {"img": _PICTURE, "name": "Ada", "labels": {"team": "engines"}, "anti_spoofing": True},
    "identify": {"img": _PICTURE, "top_k": 3, "margin": 0.05, "anti_spoofing": True},
    "forget": {"id": _ID},
    "detect": {"image": _PICTURE},
}

ANSWERS: dict[str, dict[str, Any]] = {
    "verify": {
        "one person, liveness not checked": {"value": _VERDICT},
        "vetoed: the second picture's face is fake": {"value": _VETO},
    },
    "analyze": {
        "liveness not checked": {"value": {"faces": [_FACE], "model": "mobileface"}},
        "liveness checked": {"value": {"faces": [{**_FACE, **_LIVENESS}], "model": "mobileface"}},
    },
    "embed": {
        "cut short here": {
            "value": {"embedding": [0.031, -0.112, 0.087], "dim": 3, "face_count": 1, "model": "mobileface"}
        }
    },
    "register": {
        "liveness checked": {"value": {"id": _ID, "name": "Ada", "registered_at": _TIME, "face_count": 1, **_LIVENESS}},
    },
    "identify": {
        "known": {"value": _IDENTIFIED},
        "fake": {"value": {**_IDENTIFIED, "matches": [], "is_real": False, "antispoof_score": 0.02}},
    },
    "people": {
        "the last page": {
            "value": {"people": [{**_PERSON, "registered_at": _TIME, "photos": 2}], "next_page_token": ""}
        }
    },
    "detect": {
        "one face": {
            "value": {
                "detections": [
                    {"x": 212.0, "y": 96.5, "width": 180.0, "height": 228.0, "confidence": 0.93, "class_name": "face"}
                ]
            }
        }
    },
}

MEANINGS = {
    Code.INVALID_ARGUMENT: "A field is wrong, unknown, missing, or no picture; `fields` says which.",
    Code.UNAUTHENTICATED: "The key is missing or wrong.",
    Code.PERMISSION_DENIED: "A web page of another origin asks.",
    Code.NOT_FOUND: "No face in a picture, or no such person.",
    Code.FAILED_PRECONDITION: "Liveness was asked for, and the server has no liveness nets. Nothing was verified.",
    Code.PAYLOAD_TOO_LARGE: "The body is over the limit.",
    Code.UNSUPPORTED_MEDIA_TYPE: "The body is neither JSON nor a multipart form.",
    Code.NOT_LIVE: "The face to be remembered is not live. Nobody was remembered.",
    Code.RESOURCE_EXHAUSTED: "Too many requests at once, or too often.",
    Code.INTERNAL: "A fault of ours; the log has the incident.",
    Code.UNAVAILABLE: "The inference server or the gallery is not there, or the gateway is stopping.",
    Code.DEADLINE_EXCEEDED: "No answer in time. Whether a person was remembered or forgotten is not known.",
}
