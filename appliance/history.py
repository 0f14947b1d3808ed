"""Predictions and labels wherever they lie: in the event log's segments, or in the history that they become."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import msgspec
import polars as pl

from appliance.events import SHADOW_SUFFIX, LabelEvent, PredictionEvent
from storage.eventlog import id_of, list_segments, scan_ids, segments_at, tail
from storage.layout import Layout

Record: TypeAlias = bytes | PredictionEvent
"""A prediction as it was found: a record of the event log, not decoded yet, or a row of the history."""

_HEX_DIGITS = 12
"""A token begins with a UUIDv7, whose first 48 bits are milliseconds since 1970."""
_BATCH = 2000
_MOST_AHEAD = timedelta(days=40)
"""So long before its own time a prediction may arrive: callers ask for forecasts."""
_LAST_DAY = "9999-12-31"
_SHADOW = SHADOW_SUFFIX.encode()
_LABEL = msgspec.json.Decoder(LabelEvent)
_PREDICTION = msgspec.json.Decoder(PredictionEvent)


def find_predictions(
    layout: Layout, models: Collection[str], tokens: Collection[str], *, shadows: bool = False
) -> dict[str, PredictionEvent]:
    """What ``find_records`` finds, decoded; what cannot be decoded is left out."""
    records = find_records(layout, models, tokens, shadows=shadows)
    return read_records(records, records)


def read_records(records: Mapping[str, Record], ids: Iterable[str]) -> dict[str, PredictionEvent]:
    """The predictions with these ids; those that are not there or cannot be decoded are left out."""
    found = {}
    for id_ in ids:
        record = records.get(id_)
        event = _decode(record) if isinstance(record, bytes) else record
        if event is not None:
            found[id_] = event
    return found


def find_records(
    layout: Layout, models: Collection[str], tokens: Collection[str], *, shadows: bool = False
) -> dict[str, Record]:
    """The predictions of some models with these tokens, by token; those that are nowhere are left out.

    Records of the event log are not decoded: decoded, those of a chunk of labels take several times the memory.

    Looks first where a token's time says, then, for those not there, everywhere.

    Args:
        layout: The state.
        models: Whose predictions.
        tokens: Of answers.
        shadows: What a shadow said of the same rows, too, under its own id; looked for where the answer's is.
    """
    wanted = {token.encode() for token in tokens if token}

    def with_shadows(some: Collection[bytes]) -> set[bytes]:
        return {*some, *(token + _SHADOW for token in some)} if shadows else set(some)

    directory = layout.events / "predictions"
    moments = {token: moment for token in wanted if (moment := _moment(token)) is not None}
    likely = segments_at(directory, moments.values())
    found = _by_id(scan_ids(directory, with_shadows(wanted), segments=likely))
    missing = {token for token in wanted if token.decode() not in found}
    if missing:
        others = set(list_segments(directory)) - set(likely)
        found |= _by_id(scan_ids(directory, with_shadows(missing), segments=others))
    for attempt in (True, False):
        missing = {token for token in missing if token.decode() not in found}
        timed = {token for token in missing if token in moments} if attempt else missing
        if timed:
            days = _days([moments[token] for token in timed]) if attempt else None
            found |= {event.id: event for event in _from_history(layout, models, with_shadows(timed), days)}
    return found


def scan_predictions(
    layout: Layout, model: str, *, first_us: int, last_us: int, share: float = 1.0
) -> Iterator[PredictionEvent]:
    """The predictions of a model, answers and shadows, with an event time in a span, each once.

    Of what lies in the history about ``share`` of the requests, chosen by their ids. Memory grows with what the event
    log has of the span, by its ids alone, and not with what the history has.

    An event that arrived more than 40 days before its own time may be missed where it has become history. How long
    after its time it arrived says nothing: it may have been replayed.
    """
    from storage.history import stream_history  # noqa: PLC0415  (deltalake and PyArrow are heavy)

    logged = set()
    for chunk in tail(layout.events / "predictions", {}):
        for line in chunk.lines:
            event = _decode(line)
            if event is not None and event.m == model and first_us <= event.t < last_us:
                logged.add(event.id)  # it may become history meanwhile
                yield event
    first_day = day_of(min(4e9, max(0.0, first_us / 1e6 - _MOST_AHEAD.total_seconds())))
    times = pl.col("event_time", "arrived").to_physical()
    for rows in stream_history(
        layout, "predictions", model=model, days=(first_day, _LAST_DAY), time="event_time", span=(first_us, last_us)
    ):
        chosen = rows if share >= 1.0 else rows.filter(pl.col("id").hash(seed=0) < int(share * 2**64))
        for row in chosen.with_columns(times).iter_rows(named=True):
            if row["id"] not in logged:
                yield _event(row, model)


def scan_labels(layout: Layout, model: str) -> Iterator[LabelEvent]:
    """The labels of a model; one that is being moved into the history may come twice."""
    for chunk in tail(layout.events / "labels", {}):
        for line in chunk.lines:
            try:
                label = _LABEL.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # torn by a power cut; the watch loop counts it
            if label.m == model:
                yield label
    frame = _scan(layout, "labels", model, None)
    if frame is None:
        return
    times = pl.col("known", "arrived").to_physical()
    for batch in frame.with_columns(times).collect(engine="streaming").iter_slices(50_000):
        for id_, number, text, known, arrived in batch.iter_rows():
            yield LabelEvent(id=id_, m=model, l=text if number is None else number, t=known, at=arrived)


def _by_id(records: Iterable[bytes]) -> dict[str, Record]:
    return {id_of(record): record for record in records}


def _decode(record: bytes) -> PredictionEvent | None:
    try:
        return _PREDICTION.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # counted when its own segment was


def _from_history(
    layout: Layout, models: Collection[str], tokens: Collection[bytes], days: tuple[str, str] | None
) -> Iterator[PredictionEvent]:
    ids = sorted(token.decode() for token in tokens)
    for model in sorted(models):
        frame = _scan(layout, "predictions", model, days)
        for start in range(0, len(ids) if frame is not None else 0, _BATCH):
            some = ids[start : start + _BATCH]
            assert frame is not None  # noqa: S101  (told to mypy)
            rows = frame.filter(pl.col("id").is_between(pl.lit(some[0]), pl.lit(some[-1])), pl.col("id").is_in(some))
            times = pl.col("event_time", "arrived").to_physical()
            for row in rows.with_columns(times).collect(engine="streaming").iter_rows(named=True):
                yield _event(row, model)


def _scan(layout: Layout, kind: str, model: str, days: tuple[str, str] | None) -> pl.LazyFrame | None:
    if not (layout.history / kind).is_dir():
        return None
    from storage.history import scan_history  # noqa: PLC0415  (deltalake and PyArrow are heavy)

    return scan_history(layout, kind, models=[model], days=days)


def _event(row: dict[str, object], model: str) -> PredictionEvent:
    unseen = [(one["row"], one["column"], one["value"]) for one in row["unseen"]]  # type: ignore[attr-defined]
    return msgspec.convert(
        {
            "id": row["id"], "t": row["event_time"], "at": row["arrived"], "m": model, "v": row["version"],
            "r": row["role"], "n": row["rows"], "x": row["inputs"], "u": unseen, "y": row["outputs"],
            "us": row["duration_us"], "d": row["dialect"], "k": row["key"],
        },
        PredictionEvent,
    )  # fmt: skip


def _moment(token: bytes) -> float | None:
    try:
        return int(token[:_HEX_DIGITS], 16) / 1000
    except ValueError:
        return None


def _days(moments: Sequence[float]) -> tuple[str, str]:
    """First and last day, with one of slack."""
    slack = timedelta(days=1).total_seconds()
    return day_of(max(0.0, min(moments) - slack)), day_of(min(max(moments) + slack, 4e9))


def day_of(moment_s: float) -> str:
    """The day (UTC) of a moment in seconds since 1970, as YYYY-MM-DD."""
    return datetime.fromtimestamp(moment_s, UTC).date().isoformat()
