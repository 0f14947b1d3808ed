"""A regression's errors as expected from a row's inputs and its prediction (direct loss estimation).

Training fits two small models on held-out rows (``appliance.training.losses``), one of ``|truth - prediction|``, one of
its square; they lie beside the model in the bundle and are opened by the watch loop alone, through LightGBM's C API.
"""

from __future__ import annotations

import msgspec
import numpy as np

from appliance.errors import BadInput
from appliance.features import FeatureMaker
from appliance.monitoring.bins import Floats
from appliance.schema import FeatureSchema
from appliance.serving.lightgbm_c import Booster

LOSSES = "losses.json"
"""The bundle's file; a version without it has its errors expected from its predictions alone."""


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """The two models in LightGBM's text format; they see what the model sees, and the prediction behind it."""

    absolute: str
    squared: str


def parse_losses(content: bytes) -> Losses:
    """Read ``losses.json``.

    Raises:
        BadInput: It is not one.
    """
    try:
        return msgspec.json.decode(content, type=Losses)
    except msgspec.DecodeError as exc:
        raise BadInput(f"{LOSSES} cannot be read: {exc}; train the model again") from exc


class LossModels:
    """The models of one version; LightGBM reads them when the first rows come, so that who only asks never does."""

    def __init__(self, schema: FeatureSchema, losses: Losses) -> None:
        self._losses = losses
        self._features = FeatureMaker(schema) if schema.features else None
        self._opened: tuple[Booster, Booster] | None = None

    def expect(self, encoded: Floats, value: Floats) -> tuple[Floats, Floats]:
        """Expected ``|truth - prediction|`` and its square of each row, at least 0, shape ``(n,)``.

        Args:
            encoded: Rows as logged, shape ``(n, columns)``; NaN is null.
            value: Predictions, shape ``(n,)``.

        Raises:
            BundleRefused: LightGBM cannot read a model.
        """
        if self._opened is None:
            self._opened = Booster(self._losses.absolute.encode()), Booster(self._losses.squared.encode())
        features = encoded if self._features is None else self._features.matrix(encoded)
        rows = np.ascontiguousarray(np.column_stack([features, value]))
        absolute, squared = (np.maximum(0.0, one.predict(rows, threads=1)[:, 0]) for one in self._opened)
        return absolute, squared
