"""An error as REST reports it: the JSON body and the headers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from facegate.gateway.errors import Failure

DETECTION = "/v1/detection"

_NAMES = {"image_1": "img1", "image_2": "img2", "images[0]": "img", "person_id": "id", "min_score": "threshold"}
_IN_WORDS = re.compile(r"\b(?:image_[12]|images\[0\]|person_id|min_score)(?!\w)|^image(?=:)")


def error_body(failure: Failure, request_id: str, path: str = "") -> dict[str, Any]:
    """The JSON of an answer that is none. Fields have REST's names, which differ by the request's `path`."""
    names = _NAMES if path == DETECTION else {**_NAMES, "image": "img"}
    error: dict[str, Any] = {
        "code": failure.code.name,
        "message": _renamed(failure.message, names),
        "request_id": request_id,
    }
    if failure.violations:
        error["fields"] = [
            {"field": names.get(each.field, each.field), "description": _renamed(each.description, names)}
            for each in failure.violations
        ]
    return {"error": error}


def error_headers(failure: Failure) -> dict[str, str]:
    """Retry-After, where asking again helps."""
    if failure.retry_after_s is None:
        return {}
    return {"retry-after": str(max(1, math.ceil(failure.retry_after_s)))}


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return _IN_WORDS.sub(lambda found: names.get(found[0], found[0]), text)
