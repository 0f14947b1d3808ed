"""An empty typed Litestar handler: the body is parsed and checked by Litestar, the answer is a constant."""

from __future__ import annotations

import msgspec
from litestar import Litestar, post

from tests.bench.serving.server import serve_app


class Body(msgspec.Struct):
    """The request."""

    rows: list[dict[str, float | None]]


class Prediction(msgspec.Struct):
    """An answered row."""

    id: str
    value: float
    flags: list[str]


class Answer(msgspec.Struct):
    """The answer."""

    model: str
    version: int
    request_id: str
    predictions: list[Prediction]


_ANSWER = Answer(
    model="small", version=1, request_id="x", predictions=[Prediction(id="x", value=0.5, flags=[])]
)  # fmt: skip


@post("/models/{model:str}/predict", status_code=200)
async def predict(model: str, data: Body) -> Answer:
    """Nothing but the framework's own work."""
    return _ANSWER


if __name__ == "__main__":
    serve_app(Litestar([predict], openapi_config=None, logging_config=None))
