"""Tries a model as a client would: a real row, sent to the inference API over HTTP, and what came back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from appliance.access import Access
from appliance.errors import BadInput, NotReady
from appliance.own_key import OwnKey
from appliance.schema import Column, FeatureSchema, Golden, Kind, Raw
from appliance.settings import Settings
from storage.bundles import bundle_path
from storage.errors import BundleNotFound

TIMEOUT_S = 10.0

REASONS = 8
"""Reasons with an answer, the largest first."""

Value = str | float | bool | None
"""What a column of a row may hold in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The columns a model takes, a real row to start from, and how many reasons its answers may be asked for."""

    schema: FeatureSchema
    row: dict[str, Value]
    reasons: int = REASONS


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """What a column added to the raw score: to the value itself, or to the log-odds of the class given."""

    field: str
    value: Value
    contribution: float


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction as the API gave it."""

    id: str
    value: float | None = None
    label: str | None = None
    probabilities: dict[str, float] = msgspec.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()


class _Answers(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    version: int
    predictions: list[Answer]


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    title: str = "the API refused the row"
    detail: str = ""


def _real_rows(golden: Golden, schema: FeatureSchema) -> list[dict[str, Raw]]:
    """Without those made up to prove a serving process: one of nulls, and one of new categories where it has any."""
    made_up = 1 + any(column.kind is Kind.CATEGORY for column in schema.columns)
    return golden.rows[:-made_up] or golden.rows


class _Card(msgspec.Struct, frozen=True):
    """Of ``card.json`` what is asked here."""

    params: dict[str, object] = msgspec.field(default_factory=dict)


def _is_linear(folder: Path) -> bool:
    """Of linear trees LightGBM tells no reasons, and the API refuses to give some."""
    try:
        params = msgspec.json.decode((folder / "card.json").read_bytes(), type=_Card).params
    except (OSError, msgspec.DecodeError):
        return False
    return any(params.get(name) for name in ("linear_tree", "linear_trees"))


def _as_typed(value: Raw, column: Column) -> Raw:
    """A moment ends as the form's hint has it."""
    if column.kind is Kind.DATETIME and isinstance(value, str):
        return value.replace("+00:00", "Z")
    return value


class Trial:
    """Tries models; the API answers, counts and logs a try as it does any other request."""

    def __init__(self, settings: Settings, *, access: Access) -> None:
        self._settings = settings
        self._key = OwnKey(access, settings.layout.root / "ui" / "predict-key", "dashboard")

    def example(self, model: str, version: int) -> Example:
        """The columns of a version, and a row of the data it was trained on: of its golden rows, the fullest.

        They came with its bundle, so the dataset need not be here, nor be what it was.

        Raises:
            BundleNotFound: The version is not published.
        """
        folder = bundle_path(self._settings.layout, model, version)
        try:
            schema = msgspec.json.decode((folder / "schema.json").read_bytes(), type=FeatureSchema)
            golden = msgspec.json.decode((folder / "golden.json").read_bytes(), type=Golden)
        except FileNotFoundError as exc:
            raise BundleNotFound(f"{model} version {version} is not published in {folder.parent}; train it") from exc
        row = min(_real_rows(golden, schema), key=lambda row: sum(value is None for value in row.values()))
        return Example(
            schema=schema, row={one.name: _as_typed(row[one.name], one) for one in schema.columns},
            reasons=0 if _is_linear(folder) else REASONS,
        )  # fmt: skip

    def predict(self, model: str, row: dict[str, Value], *, reasons: int = REASONS) -> Answer:
        """Ask the inference API.

        Raises:
            BadInput: It refused the row; says which field and why.
            NotReady: It does not answer.
        """
        try:
            response = httpx.post(
                f"{self._settings.api_url}/models/{model}/predict",
                content=msgspec.json.encode({"rows": [row], "explain": reasons}),
                headers={"Authorization": f"Bearer {self._key.read()}", "Content-Type": "application/json"},
                timeout=TIMEOUT_S, trust_env=False,
            )  # fmt: skip
        except httpx.HTTPError as exc:
            raise NotReady(
                f"the inference API at {self._settings.api_url} does not answer ({exc}); `appliance status` shows why"
            ) from exc
        if response.is_success:
            return msgspec.json.decode(response.content, type=_Answers).predictions[0]
        try:
            problem = msgspec.json.decode(response.content, type=_Problem)
        except msgspec.DecodeError:
            problem = _Problem(detail=f"HTTP {response.status_code}")
        refused = BadInput if response.status_code in {400, 404, 413, 422} else NotReady
        raise refused(f"{problem.title}: {problem.detail}")
