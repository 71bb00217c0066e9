"""What a caller may ask over REST. A field that is not here is refused: a misspelt anti_spoofing asks for no check."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from facegate.gateway.checks import MOST_LABEL, MOST_LABELS, MOST_MATCHES, MOST_NAME, MOST_PEOPLE, TOP_K
from facegate_client.contract import SeveralFaces

AS_TEXT = frozenset({"model", "img", "img1", "img2", "image", "name", "id", "several_faces", "store"})
"""Fields that a multipart form has as they are; every other one it has as JSON."""


def _picture(value: object) -> str | bytes:
    if isinstance(value, bytes) or (isinstance(value, str) and value.isascii()):
        return value
    raise PydanticCustomError("picture", "expected a picture: base64, a data URI, or a file of a multipart form")


def _one_gallery(store: str | None) -> str | None:
    if store:  # another store's people must not answer for it
        raise PydanticCustomError("store", "this server has one gallery; leave store out")
    return store


def _nullable(**schema: Any) -> WithJsonSchema:
    """As OpenAPI 3.0 says it."""
    return WithJsonSchema({**schema, "nullable": True})


Picture = Annotated[
    str | bytes,
    PlainValidator(_picture),
    WithJsonSchema(
        {
            "type": "string",
            "format": "byte",
            "description": "A JPEG, PNG, WebP or BMP file of at most 10 MiB and 40 megapixels, in base64 or as a data "
            "URI of base64; with an address (https://...) only where the server was told from where it may fetch.",
        }
    ),
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Distance = Annotated[
    Number | None,
    _nullable(
        type="number",
        minimum=0,
        exclusiveMinimum=True,
        maximum=2,
        description="Under this distance, 1 - cosine, two faces are one person's; the pack's own where left out.",
    ),
]
Liveness = Annotated[
    bool,
    Field(
        strict=True,
        description="Check that the face is a live one. Its fields are in the answer only then: absent means not "
        "checked, false means fake. 412 where the server has no liveness nets.",
    ),
]
Text = Annotated[str, Field(strict=True)]


def _several_faces(default: str) -> WithJsonSchema:
    return _nullable(
        type="string",
        enum=[*(choice.value for choice in SeveralFaces), None],
        description="The face that counts in a picture of more than one: `best` (the highest detection score), "
        f"`largest`, or `refuse` (400, with the number of faces). {default}",
    )


Model = Annotated[
    Text | None, _nullable(type="string", description="LocalAI's, and ignored: this server has one set of nets.")
]
Store = Annotated[
    Text | None,
    AfterValidator(_one_gallery),
    _nullable(type="string", maxLength=0, description="LocalAI's. Empty: this server has one gallery."),
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, title=None)

    model: Model = None


class VerifyRequest(_Asked):
    img1: Picture
    img2: Picture
    threshold: Distance = None
    anti_spoofing: Liveness = False
    several_faces: Annotated[Text | None, _several_faces("`best` where left out.")] = None


class AnalyzeRequest(_Asked):
    img: Picture
    actions: Annotated[
        list[Text] | None,
        _nullable(
            type="array",
            items={"type": "string"},
            description="LocalAI's, and ignored: there is no age, gender, emotion or race here.",
        ),
    ] = None
    anti_spoofing: Liveness = False
    several_faces: Annotated[
        Text | None, _several_faces("At most one face is then answered, and `face_count`; every face where left out.")
    ] = None


class EmbedRequest(_Asked):
    img: Picture
    several_faces: Annotated[Text | None, _several_faces("`best` where left out.")] = None


class RegisterRequest(_Asked):
    img: Picture
    name: Annotated[
        Text | None,
        _nullable(type="string", maxLength=MOST_NAME, description="Of a new person; left out where `id` is given."),
    ] = None
    labels: Annotated[
        dict[Text, Text] | None,
        _nullable(
            type="object",
            additionalProperties={"type": "string", "maxLength": MOST_LABEL},
            maxProperties=MOST_LABELS,
            description="Whatever is to be kept with a new person.",
        ),
    ] = None
    id: Annotated[
        Text | None, _nullable(type="string", description="One more photo of this person, whose name and labels stay.")
    ] = None
    anti_spoofing: Liveness = False
    several_faces: Annotated[Text | None, _several_faces("`refuse` where left out.")] = None
    store: Store = None


class IdentifyRequest(_Asked):
    img: Picture
    top_k: Annotated[
        Annotated[int, Field(strict=True)] | None,
        _nullable(
            type="integer", minimum=1, maximum=MOST_MATCHES, default=TOP_K, description="How many people to name."
        ),
    ] = None
    threshold: Distance = None
    margin: Annotated[
        Number | None,
        _nullable(
            type="number",
            minimum=0,
            maximum=2,
            default=0,
            description="How much nearer than the second the first must be to match.",
        ),
    ] = None
    anti_spoofing: Liveness = False
    several_faces: Annotated[Text | None, _several_faces("`largest` where left out.")] = None
    store: Store = None


class ForgetRequest(_Asked):
    id: Text
    store: Store = None


class DetectionRequest(_Asked):
    image: Picture
    threshold: Annotated[
        Number | None,
        _nullable(
            type="number",
            minimum=0,
            maximum=1,
            description="The lowest detection score; the pack's own where left out.",
        ),
    ] = None


class PeopleQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    page_size: Annotated[
        int, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_PEOPLE, "default": 100})
    ] = 100
    page_token: str = ""
