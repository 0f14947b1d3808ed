"""label, label-history: the truth about predictions, from a file, through the inference API, which checks each one."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path

import httpx
import msgspec

from appliance.cli.caller import caller
from appliance.cli.house import open_house
from appliance.cli.output import Json, or_dash, print_json, print_table, show_time
from appliance.errors import BadInput, NotReady
from appliance.house import Appliance
from storage.bundles import write_durably
from storage.sources import SourceOptions, open_source

BATCH_LABELS = 1000
_SHOWN = 5
_NOT_NOW = frozenset({503, 507})
"""Not the file's fault: the API cannot look a key up, or the disk is full."""


def label(name: str, file: Path, *, json: Json = False) -> int:
    """Send the labels of a file; exit code 1 when none of its ids is a prediction of this model.

    Args:
        name: The model.
        file: CSV, Parquet or NDJSON with the columns id, label and, if they are known, time (ISO 8601).
    """
    house = open_house()
    house.models.get(name)
    accepted, unknown = 0, list[str]()
    headers = {"Authorization": f"Bearer {_take_key(house)}"}
    with httpx.Client(base_url=house.settings.api_url, headers=headers, timeout=60.0, trust_env=False) as client:
        for rows in _in_batches(_read_labels(house, file)):
            where = f"of {file}, rows {rows[0][0]:,} to {rows[-1][0]:,}; {accepted:,} before them are taken"
            answer = _post(client, name, [one for _, one in rows], where)
            accepted += answer.accepted
            unknown += answer.unknown
    if json:
        print_json({"accepted": accepted, "unknown": unknown})
    else:
        print(f"labels accepted: {accepted}; unknown ids: {len(unknown)}")
        for one in unknown[:_SHOWN]:
            print(f"  no prediction of {name} has the id {one}")
    return 1 if unknown and not accepted else 0


def label_history(prediction_id: str, *, json: Json = False) -> None:
    """Every label that came for a prediction, the oldest first; the last one counts.

    Args:
        prediction_id: As the answer gave it.
    """
    found = open_house().monitoring.label_history(prediction_id)
    if json:
        print_json(found.to_json())
        return
    print(
        f"{found.id}: {found.model} version {found.version} as {found.role}, {show_time(found.predicted_at)}, "
        f"answered {', '.join(map(or_dash, found.output))}"
    )
    print_table(
        ("label", "known", "told"),
        [(one.label, show_time(one.known_at), show_time(one.arrived_at)) for one in found.revisions],
    )


class _Answer(msgspec.Struct, frozen=True):
    accepted: int
    unknown: list[str]


class _Problem(msgspec.Struct, frozen=True):
    detail: str = ""


def _post(client: httpx.Client, name: str, labels: list[dict[str, object]], where: str) -> _Answer:
    try:
        response = client.post(f"/models/{name}/labels", content=msgspec.json.encode({"labels": labels}))
    except httpx.TransportError as exc:
        raise NotReady(
            f"the API at {client.base_url} does not answer ({exc}); run 'appliance up --detach'; {where}"
        ) from exc
    if response.is_success:
        return msgspec.json.decode(response.content, type=_Answer)
    told = f"the API refused labels ({response.status_code}): {_detail_of(response)}; {where}"
    raise NotReady(told) if response.status_code in _NOT_NOW else BadInput(told)


def _detail_of(response: httpx.Response) -> str:
    try:
        return msgspec.json.decode(response.content, type=_Problem).detail
    except msgspec.DecodeError:
        return response.reason_phrase


def _read_labels(house: Appliance, file: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Row of the file, from 1, and its label; rows whose label is null or no number at all (NaN) have none."""
    at = 0
    with open_source(str(file), SourceOptions(tmp=house.settings.layout.tmp)) as source:
        missing = {"id", "label"} - set(source.batches.schema.names)
        if missing:
            raise BadInput(f"{file} has no column {' and no column '.join(sorted(missing))}; needed are id and label")
        for batch in source.batches:
            for row in batch.to_pylist():
                at += 1
                told = {key: _as_json(row[key]) for key in ("id", "label", "time") if row.get(key) is not None}
                if told.get("label") is not None:
                    yield at, told


def _as_json(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        value = int(value) if value.is_finite() and value == int(value) else float(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def _in_batches(labels: Iterator[tuple[int, dict[str, object]]]) -> Iterator[list[tuple[int, dict[str, object]]]]:
    while batch := list(islice(labels, BATCH_LABELS)):
        yield batch


def _take_key(house: Appliance) -> str:
    """The command line's own key, made once; its file is the owner's alone."""
    path = house.settings.layout.root / "cli-key"
    if path.exists():
        key = path.read_text().strip()
        if house.access.check_key(key) is not None:
            return key
    new = house.access.create_key(f"cli-{uuid.uuid4().hex[:8]}", "label", who=caller())
    write_durably(path, new.key.encode(), mode=0o600)
    return new.key
