"""What an answer adds to the counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.contract import Code

OK = "OK"
CODES = (OK, *(code.value for code in Code))
VERIFIED, DIFFERENT, VETOED = "verified", "different", "vetoed"
REAL, FAKE = "real", "fake"

REQUESTS, VERIFICATIONS, FACES, LIVENESS = "requests_total", "verifications_total", "faces_total", "liveness_total"

Counts = dict[tuple[str, str], int]
"""By the counter and its label's value, which is empty where it has no label."""


def counted(code: str, outputs: Mapping[str, NDArray[Any]]) -> Counts:
    """What one answer adds: OK and its outputs by name, or an error's code and none.

    A face that was not checked for liveness is neither real nor fake.
    """
    counts = {(REQUESTS, code): 1}
    if not outputs:
        return counts
    checks = [values for name, values in outputs.items() if name.startswith(contract.IS_REAL)]
    checked, real = sum(len(values) for values in checks), sum(int(np.sum(values)) for values in checks)
    counts |= {(LIVENESS, REAL): real, (LIVENESS, FAKE): checked - real}
    if contract.VERIFIED in outputs:
        verdict = VERIFIED if outputs[contract.VERIFIED][0] else DIFFERENT
        counts |= {(FACES, ""): 2, (VERIFICATIONS, VETOED if real < checked else verdict): 1}
    else:
        counts[FACES, ""] = len(outputs[contract.BOXES])
    return counts
