"""Tries a model as a client would: a real row, sent to the inference API over HTTP, and what came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from appliance.access import Access
from appliance.datasets import Datasets
from appliance.errors import BadInput, NotReady
from appliance.own_key import OwnKey
from appliance.schema import FeatureSchema
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


class Trial:
    """Tries models; the API answers, counts and logs a try as it does any other request."""

    def __init__(self, settings: Settings, *, access: Access, datasets: Datasets) -> None:
        self._settings = settings
        self._datasets = datasets
        self._key = OwnKey(access, settings.layout.root / "ui" / "predict-key", "dashboard")

    def example(self, model: str, version: int) -> Example:
        """The columns of a version, and a row of the dataset it was trained on.

        Raises:
            BundleNotFound: The version is not published.
        """
        folder = bundle_path(self._settings.layout, model, version)
        try:
            schema = msgspec.json.decode((folder / "schema.json").read_bytes(), type=FeatureSchema)
            card: dict[str, Any] = msgspec.json.decode((folder / "card.json").read_bytes())
        except FileNotFoundError as exc:
            raise BundleNotFound(f"{model} version {version} is not published in {folder.parent}; train it") from exc
        names = [column.name for column in schema.columns]
        frame = self._datasets.preview(str(card["dataset"]), int(card["dataset_version"]), rows=100)
        fullest = min(frame.select(names).to_dicts(), key=lambda row: sum(value is None for value in row.values()))
        plain = msgspec.to_builtins(fullest)
        # Of linear trees LightGBM tells no reasons, and the API refuses to give some.
        is_linear = any(card.get("params", {}).get(name) for name in ("linear_tree", "linear_trees"))
        row = {name: plain[name] for name in names}
        return Example(schema=schema, row=row, reasons=0 if is_linear else REASONS)

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
