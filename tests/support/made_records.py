"""Lines of results, to be changed by `replace`."""

from __future__ import annotations

from facegate.cameras.records import AppearanceRecord, CameraRecord, FaceRecord

FACE = FaceRecord(
    camera="door",
    wall_s=1e9,
    frame=0,
    media_s=0.0,
    width=160,
    height=120,
    track=12,
    box=(40.0, 40.0, 120.0, 110.0),
    landmarks=((60.0, 60.0), (100.0, 60.0), (80.0, 75.0), (65.0, 90.0), (95.0, 90.0)),
    score=0.9,
    quality=0.5,
    is_real=None,
    antispoof_score=None,
    judgements=0,
    frame_is_real=None,
    frame_antispoof_score=None,
    who=None,
    distance=None,
)
ENDED = CameraRecord(
    camera="Tür", wall_s=1e9, event="ended", reason=None, asked=None, read=3, sent=2, dropped=1, answered=2, failed=0
)
APPEARANCE = AppearanceRecord(
    camera="door",
    wall_s=1e9,
    frame=7,
    media_s=0.7,
    track=1,
    who="anna",
    distance=0.312,
    threshold=0.4,
    verified=True,
    is_real=True,
    antispoof_score=0.9,
    revised=False,
)
