"""FastAPI with a typed body, numpy and LightGBM's Booster: ``python fastapi_numpy.py MODEL PORT``."""

from __future__ import annotations

import sys

import lightgbm
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """The request."""

    rows: list[list[float]]


def main() -> None:
    """Serve."""
    booster = lightgbm.Booster(model_file=sys.argv[1])
    app = FastAPI()

    async def predict(body: Body) -> dict[str, list[float]]:
        matrix = np.array(body.rows, dtype=np.float64)
        return {"predictions": booster.predict(matrix, num_threads=1).tolist()}

    app.post("/predict")(predict)
    uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)


# FastAPI resolves annotations among the module's names.
if __name__ == "__main__":
    main()
