"""FastAPI with a list of records, a pandas frame and LightGBM's Booster: ``python fastapi_pandas.py MODEL PORT``."""

from __future__ import annotations

import sys
from importlib import import_module

import lightgbm
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

pandas = import_module("pandas")


class Body(BaseModel):
    """The request."""

    rows: list[dict[str, float]]


def main() -> None:
    """Serve."""
    booster = lightgbm.Booster(model_file=sys.argv[1])
    app = FastAPI()

    async def predict(body: Body) -> dict[str, list[float]]:
        return {"predictions": booster.predict(pandas.DataFrame(body.rows), num_threads=1).tolist()}

    app.post("/predict")(predict)
    uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)


if __name__ == "__main__":
    main()
