"""The wire contract: names, limits and error codes, each said once.

Client, ensemble and build all read them here, so that no two of them can disagree.
"""

from __future__ import annotations

from enum import Enum

ANALYZE = "face_analyze"
VERIFY = "face_verify"
MODELS = (ANALYZE, VERIFY)

# Tensors of the two ensemble models. face_verify's names carry the number of the image: IMAGE_1, BOX_2, ...
IMAGE = "IMAGE"
FRAME = "FRAME"
FRAME_SHAPE = "FRAME_SHAPE"
FACES_IN = "FACES_IN"
BOXES = "BOXES"
SCORES = "SCORES"
LANDMARKS = "LANDMARKS"
EMBEDDINGS = "EMBEDDINGS"
IS_REAL = "IS_REAL"
ANTISPOOF_SCORE = "ANTISPOOF_SCORE"
VERIFIED = "VERIFIED"
DISTANCE = "DISTANCE"
THRESHOLD = "THRESHOLD"
CONFIDENCE = "CONFIDENCE"
BOX = "BOX"
PROCESSING_TIME_MS = "PROCESSING_TIME_MS"
FACE_ERRORS = "FACE_ERRORS"
FACE_COUNT = "FACE_COUNT"
MODEL = "MODEL"  # JSON: pack, licence, commercial_use, digest, embedding_digest, precision, threshold

# Tensors of the nets.
IMAGES = "IMAGES"
FACES = "FACES"
CROPS = "CROPS"
PROBABILITIES = "PROBABILITIES"

# Request parameters.
ANTI_SPOOFING = "anti_spoofing"
WITH_EMBEDDINGS = "embeddings"
MIN_SCORE = "min_score"
MAX_FACES = "max_faces"
DISTANCE_THRESHOLD = "threshold"
SEVERAL_FACES = "several_faces"

# Limits, checked before any work.
MAX_IMAGE_BYTES = 10 * 1024 * 1024
MAX_PIXELS = 40_000_000
MAX_SIDE = 32_766  # OpenCV warps no larger image: its coordinates are 16-bit
MAX_FACES_LIMIT = 1024
DEFAULT_MAX_FACES = 256
LEAST_THRESHOLD = 2.0**-149  # over 0: an answer has it as float32, of which this is the smallest
MAX_THRESHOLD = 2.0  # the largest cosine distance
UNIT_TOLERANCE = 1e-3  # of an embedding's length; served graphs normalize in float32, which leaves about 1e-6
MAX_COSINE = 1.001  # in magnitude; a larger one is no rounding error, but a damaged embedding
LEAST_FACE_IN = 8  # pixels; a smaller box is not enough for a model
FACE_IN_VALUES = 14  # x1 y1 x2 y2 and five landmarks' x y, little-endian float32
LANDMARK_MARGIN = 0.15  # of the box's side; of 794 detected faces the worst landmark lies 0.075 outside its box

ADMIN_KEY = "FACEGATE_ADMIN_KEY"  # the environment variable with the key to Triton's restricted APIs

STOPPING_REASON = "the server is stopping"  # so begins a RESOURCE_EXHAUSTED of a server that is not full, but going
TRITON_MEMORY_FULL = "Failed to increase the shared memory pool"  # so begins an INTERNAL of Triton itself
MEMORY_FULL_REASON = "the server's shared memory (/dev/shm) is full; try again later"


def size_error(width: int, height: int) -> str | None:
    """Returns why an image of this size, in pixels, is refused: over MAX_PIXELS or MAX_SIDE. None if it is not."""
    if width <= MAX_SIDE and height <= MAX_SIDE and width * height <= MAX_PIXELS:
        return None
    return f"{width}x{height} is over the limit of {MAX_PIXELS:,} pixels, {MAX_SIDE:,} a side"


class SeveralFaces(str, Enum):
    """The values of the parameter several_faces: which face counts in an image that shows more than one."""

    BEST = "best"  # the highest detection score
    LARGEST = "largest"  # the largest area of the box inside the image; of equal areas the highest score
    REFUSE = "refuse"  # none: the request is INVALID_ARGUMENT


class Code(str, Enum):
    """What went wrong. Every error message begins with its code's name and a colon."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    INTERNAL = "INTERNAL"
