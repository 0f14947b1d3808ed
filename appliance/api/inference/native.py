"""The native dialect: rows by column name in, predictions with their ids out; labels come back by those ids."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from appliance.api.inference.errors import BadField, BadJson
from appliance.api.inference.exchange import Answer, Call, find_entity_key, new_request_id
from appliance.api.inference.predictions import predictions_of
from appliance.api.inference.predictor import Predictor, conclude
from appliance.api.inference.typed_rows import PredictBody, PredictBodyDecoder, decode_leniently
from appliance.encoder import describe, read_instant
from appliance.events import LabelEvent
from appliance.prediction_ids import is_known, request_id
from appliance.schema import Column, Task
from appliance.serving.loaded_model import LoadedModel
from appliance.serving.scoring import Asked, Scored

DIALECT = "native"
_ENCODE = msgspec.json.Encoder().encode
_MAX_DECODERS = 256
_LABELS_ACCEPTED = "a list of objects with 'id', 'label' and optionally 'time'"
_TIME_ACCEPTED = "an ISO 8601 date and time as a string, between the years 1970 and 9999"


class Native:
    """The native dialect's handlers; they run in any thread."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._decoders: dict[tuple[str, int], PredictBodyDecoder] = {}

    def predict(self, call: Call) -> Answer:
        """``POST /models/{model}/predict``."""
        first = self._predictor.find(call)
        body = self._decoder(first).decode(call.body)
        key = body.key or find_entity_key(call.headers)
        choice = self._predictor.choose_of(call, first.name, key)
        model = choice.model
        if model.schema.columns != first.schema.columns:
            body = self._decoder(model).decode(call.body)
        event_us = call.at_us if body.time is None else read_time(body.time, "time")
        scored = self._score(call, model, body)
        answer_id = call.given_id or request_id(scored.token)
        content = _ENCODE(
            {
                "model": model.name,
                "version": model.version,
                "request_id": answer_id,
                "predictions": predictions_of(scored),
            }
        )
        asked = Asked(
            started_ns=call.started_ns, at_us=call.at_us, event_us=event_us, dialect=DIALECT, key=key,
            role=choice.role,
        )  # fmt: skip
        answer = Answer(
            body=content, request_id=answer_id, headers=((b"x-model-version", b"%d" % model.version),)
        )  # fmt: skip
        return conclude(answer, scored, choice, asked)

    def label(self, call: Call) -> Answer:
        """``POST /models/{model}/labels``: the truth about predictions, by their ids."""
        model = self._predictor.find(call)
        given, malformed = decode_leniently(call.body)
        if malformed or not isinstance(given, dict):
            raise BadJson(malformed or f"the body is {describe(given)}; accepted: an object with the member 'labels'")
        labels = given.get("labels")
        if not isinstance(labels, list):
            what = describe(labels) if "labels" in given else "the member is missing"
            raise BadField(field="labels", found=what, accepted=_LABELS_ACCEPTED)
        truth = Truth(task=model.schema.task, classes=self._predictor.router.classes(model.name))
        unknown = []
        records = []
        for index, label in enumerate(labels):
            event = _read_label(label, index, model.name, truth, call.at_us)
            if is_known(self._predictor.scorer.secret, model.name, event.id):
                records.append(_ENCODE(event))
            else:
                unknown.append(event.id)
        return Answer(
            body=_ENCODE({"accepted": len(records), "unknown": unknown}), status=202, labels=records,
            request_id=call.given_id or new_request_id(call.at_us),
        )  # fmt: skip

    def list_models(self, call: Call) -> Answer:
        """``GET /models``."""
        models = [
            {"name": route.name, "version": route.champion.version, "task": route.champion.schema.task.value}
            for route in self._predictor.router.current.routes.values()
            if route.champion
        ]
        return Answer(body=_ENCODE({"models": models}), request_id=call.given_id or new_request_id(call.at_us))

    def show_model(self, call: Call) -> Answer:
        """``GET /models/{model}``."""
        model = self._predictor.find(call)
        content = {
            "name": model.name,
            "version": model.version,
            "task": model.schema.task.value,
            "target": model.schema.target,
            "classes": model.schema.classes,
            "schema": describe_columns(model.schema.columns),
            "protected": describe_columns(model.schema.protected),
            "example": model.example,
            "created_at": model.manifest.created_at,
        }
        return Answer(body=_ENCODE(content), request_id=call.given_id or new_request_id(call.at_us))

    def _score(self, call: Call, model: LoadedModel, body: PredictBody) -> Scored:
        rows = body.rows if body.typed is None else body.typed
        if body.typed is not None and len(rows) == 1 and not body.explain:
            unseen: list[tuple[int, int, str]] = []
            row, odd = model.encoder.encode_one(body.typed[0], unseen)
            return self._predictor.scorer.score_one(model, row, at_us=call.at_us, unseen=unseen, odd=odd)
        self._predictor.require_rows(len(rows))
        return self._predictor.score(call, model, body.encode(model.encoder), explain=body.explain)

    def _decoder(self, model: LoadedModel) -> PredictBodyDecoder:
        key = (model.name, model.version)
        decoder = self._decoders.get(key)
        if decoder is None:
            if len(self._decoders) >= _MAX_DECODERS:
                self._decoders.clear()
            decoder = self._decoders[key] = PredictBodyDecoder(model.schema)
        return decoder


def describe_columns(columns: Sequence[Column]) -> list[dict[str, object]]:
    """Columns of a row as a caller needs to know them."""
    return [
        {
            "name": column.name,
            "kind": column.kind.value,
            "integer": column.integer,
            "nulls_in_training": column.had_nulls,
            **({"levels": column.levels} if column.levels else {}),
        }
        for column in columns
    ]


def read_time(text: str, field: str) -> int:
    """Microseconds since 1970 of a caller's time.

    Raises:
        BadField: Not a time, or before 1970.
    """
    try:
        at = datetime.fromtimestamp(read_instant(text), UTC)
    except (ValueError, OverflowError, OSError):
        raise BadField(field=field, found=describe(text), accepted=_TIME_ACCEPTED) from None
    if at.year < 1970:
        raise BadField(field=field, found=describe(text), accepted=_TIME_ACCEPTED)
    return round(at.timestamp() * 1e6)


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What a label may be: the watch loop holds it against the classes of the version that made the prediction."""

    task: Task
    classes: tuple[str, ...]


def _read_label(label: object, index: int, model: str, accepted: Truth, at_us: int) -> LabelEvent:
    where = f"labels[{index}]"
    if not isinstance(label, dict):
        raise BadField(
            field=where, found=describe(label), accepted="an object with 'id', 'label' and optionally 'time'"
        )
    for member in ("id", "label"):
        if member not in label:
            raise BadField(field=f"{where}.{member}", found="the member is missing", accepted=_LABELS_ACCEPTED)
    prediction_id, time = label["id"], label.get("time")
    if not isinstance(prediction_id, str):
        raise BadField(field=f"{where}.id", found=describe(prediction_id), accepted="a prediction's id as a string")
    if time is not None and not isinstance(time, str):
        raise BadField(field=f"{where}.time", found=describe(time), accepted=_TIME_ACCEPTED)
    return LabelEvent(
        id=prediction_id, m=model, l=_read_truth(label["label"], f"{where}.label", accepted),
        t=at_us if time is None else read_time(time, f"{where}.time"), at=at_us,
    )  # fmt: skip


def _read_truth(value: object, field: str, accepted: Truth) -> float | str:
    """A label as the event log holds it: a number for regression, else one of the classes."""
    if accepted.task is Task.REGRESSION:
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                raise BadField(field=field, found="a number beyond float64", accepted="a number") from None
        raise BadField(field=field, found=describe(value), accepted="a number")
    for text in _spellings(value):
        if text in accepted.classes:
            return text
    raise BadField(field=field, found=describe(value), accepted=f"one of {', '.join(accepted.classes)}")


def _spellings(value: object) -> tuple[str, ...]:
    """How a class may be written that JSON gives as this value."""
    if isinstance(value, bool):
        return str(value).lower(), str(value), str(int(value))
    if isinstance(value, int) and value in {0, 1}:
        return str(value), str(bool(value)).lower(), str(bool(value))
    if isinstance(value, float) and value.is_integer():
        return str(value), str(int(value))
    return (str(value),) if isinstance(value, str | int | float) else ()
