"""A BentoML service: ``bentoml serve bento:Model``, with the model's file in BENCH_MODEL."""

import os
from importlib import import_module
from typing import Any

import lightgbm
import numpy as np

bentoml: Any = import_module("bentoml")


@bentoml.service(workers=1)
class Model:
    """One model."""

    def __init__(self) -> None:
        self._booster = lightgbm.Booster(model_file=os.environ["BENCH_MODEL"])

    @bentoml.api  # type: ignore[untyped-decorator]  # it has no types here
    def predict(self, rows: list[list[float]]) -> list[float]:
        """Predict rows."""
        found: list[float] = self._booster.predict(np.array(rows), num_threads=1).tolist()
        return found
