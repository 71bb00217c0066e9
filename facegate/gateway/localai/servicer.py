"""LocalAI's backend wire, answered by the gateway. Errors are raised, and told elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from grpc.aio import ServicerContext

from facegate.gateway.deadline import seconds_for
from facegate.gateway.door import calls
from facegate.gateway.door.health import Health
from facegate.gateway.errors import GatewayError, failure_of, invalid
from facegate.gateway.faces import FaceGateway
from facegate.gateway.localai import backend_pb2 as pb
from facegate.gateway.localai.backend_pb2_grpc import BackendServicer
from facegate.gateway.pictures import from_base64
from facegate_client.results import Box, Face


class Backend(BackendServicer):
    """Raises FaceGateErrors and GatewayErrors. A call lasts as long as its caller waits, at most `timeout_s`."""

    def __init__(self, faces: FaceGateway, health: Health, timeout_s: float) -> None:
        self._faces, self._health = faces, health
        self._timeout_s = timeout_s

    async def Health(self, request: pb.HealthMessage, context: ServicerContext) -> pb.Reply:  # noqa: N802
        """That somebody answers. LocalAI wants these two letters."""
        return pb.Reply(message=b"OK")

    async def Status(self, request: pb.HealthMessage, context: ServicerContext) -> pb.StatusResponse:  # noqa: N802
        """READY where the health service says SERVING; BUSY and ERROR are never answered."""
        state = pb.StatusResponse.READY if self._health.serving else pb.StatusResponse.UNINITIALIZED
        return pb.StatusResponse(state=state)

    async def LoadModel(self, request: pb.ModelOptions, context: ServicerContext) -> pb.Result:  # noqa: N802
        """Nothing is loaded: what is served was chosen where this server was started, and the message names it."""
        try:
            model = await self._faces.model(timeout_s=seconds_for(context, self._timeout_s))
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            if (call := calls.current()) is not None:
                call.failed(failure)
            return pb.Result(success=False, message=f"{failure.code.name}: {failure.message}")
        return pb.Result(success=True, message=f"FaceGate answers with the pack {model.pack} (licence {model.licence})")

    async def Embedding(self, request: pb.PredictOptions, context: ServicerContext) -> pb.EmbeddingResult:  # noqa: N802
        """The embedding of the image's best-detected face."""
        if len(request.Images) != 1:
            raise invalid("Images", f"expected one image in base64, got {len(request.Images)}")
        with _fields_called({"image": "Images[0]"}):
            image = from_base64(request.Images[0], "Images[0]")
            face = (await self._faces.embed(image, timeout_s=seconds_for(context, self._timeout_s))).face
        values = () if face.embedding is None else face.embedding.tolist()
        return pb.EmbeddingResult(embeddings=values, dim=len(values), layout=pb.EmbeddingResult.FINAL)

    async def Detect(self, request: pb.DetectOptions, context: ServicerContext) -> pb.DetectResponse:  # noqa: N802
        """Every face."""
        with _fields_called({"image": "src"}):
            faces = await self._faces.analyze(
                from_base64(request.src, "src"),
                anti_spoofing=False,
                embeddings=False,
                timeout_s=seconds_for(context, self._timeout_s),
            )
        return pb.DetectResponse(Detections=[_detection(face) for face in faces])

    async def FaceVerify(self, request: pb.FaceVerifyRequest, context: ServicerContext) -> pb.FaceVerifyResponse:  # noqa: N802
        """The verdict. A threshold of 0 is the pack's own."""
        with _fields_called({"image_1": "img1", "image_2": "img2"}):
            result = await self._faces.verify(
                from_base64(request.img1, "img1"),
                from_base64(request.img2, "img2"),
                threshold=request.threshold or None,
                anti_spoofing=request.anti_spoofing,
                timeout_s=seconds_for(context, self._timeout_s),
            )
        return pb.FaceVerifyResponse(
            verified=result.verified,
            distance=result.distance,
            threshold=result.threshold,
            confidence=result.confidence,
            model=result.model.pack,
            img1_area=_area(result.box_1),
            img2_area=_area(result.box_2),
            processing_time_ms=result.processing_time_ms,
            img1_is_real=result.is_real_1,  # None, not checked: the field stays unset
            img1_antispoof_score=result.antispoof_score_1,
            img2_is_real=result.is_real_2,
            img2_antispoof_score=result.antispoof_score_2,
        )

    async def FaceAnalyze(  # noqa: N802
        self, request: pb.FaceAnalyzeRequest, context: ServicerContext
    ) -> pb.FaceAnalyzeResponse:
        """Every face. What `actions` asks for, ages and the like, no net here says."""
        with _fields_called({"image": "img"}):
            faces = await self._faces.analyze(
                from_base64(request.img, "img"),
                anti_spoofing=request.anti_spoofing,
                embeddings=False,
                timeout_s=seconds_for(context, self._timeout_s),
            )
        return pb.FaceAnalyzeResponse(
            faces=[
                pb.FaceAnalysis(
                    region=_area(face.box),
                    face_confidence=face.score,
                    is_real=face.is_real,
                    antispoof_score=face.antispoof_score,
                )
                for face in faces
            ]
        )


def _area(box: Box) -> pb.FacialArea:
    x1, y1, x2, y2 = box
    return pb.FacialArea(x=x1, y=y1, w=x2 - x1, h=y2 - y1)


def _detection(face: Face) -> pb.Detection:
    x1, y1, x2, y2 = face.box
    return pb.Detection(x=x1, y=y1, width=x2 - x1, height=y2 - y1, confidence=face.score, class_name="face")


@contextmanager
def _fields_called(names: Mapping[str, str]) -> Iterator[None]:
    """What Triton or the gateway says of an image names this wire's field instead of FaceService's."""
    try:
        yield
    except Exception as error:
        failure = failure_of(error)
        if failure is None or not failure.violations:
            raise
        (violation,) = failure.violations
        field = names.get(violation.field, violation.field)
        raise GatewayError(failure.code, failure.message, field, failure.retry_after_s) from error
