"""Replays real rows through the HTTP API in time order, with their own event times, and sends each label days later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import httpx

from appliance.errors import NotReady

LABEL_DELAY = timedelta(days=3)
"""How long after the event, in event time, the truth becomes known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One row, when it happened, and what came of it."""

    at: datetime
    row: dict[str, Any]
    label: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What one replay sent."""

    predictions: int
    labels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The model's place on the HTTP API."""

    api_url: str
    model: str
    key: str


def replay(
    observations: Sequence[Observation],
    target: Target,
    *,
    on_day: Callable[[date, int], None],
    concurrency: int = 8,
) -> Replayed:
    """Send every observation as a request of its own, a day at a time, and the labels ``LABEL_DELAY`` behind.

    Labels still outstanding at the end are sent too, so that every prediction has its label.

    Args:
        observations: In time order.
        target: Where to.
        on_day: Called after each day with it and the number of predictions sent so far.
        concurrency: Requests under way at once, within a day.

    Raises:
        NotReady: The API refused a request or does not answer; the message has its own words.
    """
    return asyncio.run(_replay(observations, target, on_day, concurrency))


async def _replay(
    observations: Sequence[Observation], target: Target, on_day: Callable[[date, int], None], concurrency: int
) -> Replayed:
    pending: list[tuple[date, list[dict[str, Any]]]] = []
    sent = labelled = 0
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    headers = {"Authorization": f"Bearer {target.key}"}
    async with httpx.AsyncClient(
        base_url=target.api_url, headers=headers, limits=limits, timeout=30.0, trust_env=False
    ) as client:
        for day, group in groupby(observations, key=lambda observation: observation.at.date()):
            batch = list(group)
            ids = await asyncio.gather(*(_predict(client, target.model, item) for item in batch))
            known = [_label(prediction, item) for prediction, item in zip(ids, batch, strict=True)]
            pending.append((day, known))
            sent += len(batch)
            while pending and pending[0][0] <= day - LABEL_DELAY:
                labelled += await _send_labels(client, target.model, pending.pop(0)[1])
            on_day(day, sent)
        for _, labels in pending:
            labelled += await _send_labels(client, target.model, labels)
    return Replayed(predictions=sent, labels=labelled)


async def _predict(client: httpx.AsyncClient, model: str, item: Observation) -> str:
    body = {"rows": [item.row], "time": _utc(item.at)}
    answer = await _post(client, f"/models/{model}/predict", body)
    return str(answer["predictions"][0]["id"])


def _label(prediction_id: str, item: Observation) -> dict[str, Any]:
    return {"id": prediction_id, "label": item.label, "time": _utc(item.at + LABEL_DELAY)}


async def _send_labels(client: httpx.AsyncClient, model: str, labels: list[dict[str, Any]]) -> int:
    answer = await _post(client, f"/models/{model}/labels", {"labels": labels})
    if answer["unknown"]:
        raise NotReady(f"the API does not know {len(answer['unknown'])} predictions that it gave itself")
    return int(answer["accepted"])


async def _post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        response = await client.post(path, json=body)
    except httpx.HTTPError as exc:
        raise NotReady(
            f"the inference API at {client.base_url} does not answer: {exc!r}; see 'appliance status'"
        ) from exc
    if response.is_error:
        raise NotReady(f"the inference API refused a demo request ({response.status_code}): {response.text[:500]}")
    answer: dict[str, Any] = response.json()
    return answer


def _utc(at: datetime) -> str:
    return at.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
