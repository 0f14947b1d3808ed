"""The neighbours: what each needs, how it is started, and how it is asked for one row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.serving.models import COLUMNS
from tests.model_bundles import numeric_columns
from tests.served_api import free_port

SERVERS = Path(__file__).parent / "servers"
NAME = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a neighbour is started.

    Attributes:
        bin: Programs of its environment.
        folder: Its own, empty or prepared.
        model: The LightGBM text file.
    """

    bin: Path
    folder: Path
    model: Path
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A server that others use.

    Attributes:
        wanted: How many times as many requests a second we want to answer.
        packages: Of its environment; none: it lives in ours.
        prepare: Writes what it reads at its start.
    """

    name: str
    wanted: int
    packages: Sequence[str]
    command: Callable[[Place], Sequence[str]]
    path: str
    body: Callable[[Mapping[str, float]], object]
    prepare: Callable[[Place], None] = lambda _: None
    environment: Mapping[str, str] = field(default_factory=dict)


def _script(name: str) -> Callable[[Place], Sequence[str]]:
    return lambda place: [str(place.bin / "python"), str(SERVERS / name), str(place.model), str(place.port)]


def _lists(row: Mapping[str, float]) -> object:
    return {"rows": [list(row.values())]}


def _split(row: Mapping[str, float]) -> object:
    return {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}


def _tensor(row: Mapping[str, float]) -> object:
    return {"inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": list(row.values())}]}


def _save_for_mlflow(place: Place) -> None:
    """With a signature, as MLflow advises, so that it checks its input as we do."""
    import lightgbm
    import mlflow.lightgbm
    from mlflow.types import ColSpec, Schema

    booster = lightgbm.Booster(model_file=str(place.model))
    inputs = Schema([ColSpec("double", column.name) for column in numeric_columns(COLUMNS)])
    mlflow.lightgbm.save_model(
        booster, str(place.folder / "model"), pip_requirements=["lightgbm", "mlflow"],
        signature=mlflow.models.ModelSignature(inputs=inputs),
    )  # fmt: skip


def _write_for_mlserver(place: Place) -> None:
    settings = {
        "http_port": place.port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": 0,
        "host": "127.0.0.1", "debug": False, "use_structured_logging": False,
    }  # fmt: skip
    (place.folder / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": NAME,
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"uri": str(place.model)},
    }
    (place.folder / "model-settings.json").write_text(json.dumps(model))


NEIGHBOURS = (
    Neighbour(
        name="FastAPI, numpy", wanted=3, packages=(), command=_script("fastapi_numpy.py"), path="/predict", body=_lists
    ),
    Neighbour(
        name="FastAPI, pandas", wanted=25, packages=(), command=_script("fastapi_pandas.py"), path="/predict",
        body=lambda row: {"rows": [row]},
    ),
    Neighbour(
        name="MLflow", wanted=100, packages=(), path="/invocations", body=_split, prepare=_save_for_mlflow,
        command=lambda place: [
            str(place.bin / "mlflow"), "models", "serve", "-m", str(place.folder / "model"), "-p", str(place.port),
            "-h", "127.0.0.1", "--env-manager", "local", "-w", "1",
        ],
    ),
    Neighbour(
        name="MLServer", wanted=8, packages=("mlserver", "mlserver-lightgbm"), prepare=_write_for_mlserver,
        command=lambda place: [str(place.bin / "mlserver"), "start", str(place.folder)],
        path=f"/v2/models/{NAME}/infer", body=_tensor,
    ),
    Neighbour(
        name="BentoML", wanted=15, packages=("bentoml", "lightgbm"), path="/predict", body=_lists,
        command=lambda place: [
            str(place.bin / "bentoml"), "serve", "bento:Model", "--working-dir", str(SERVERS), "--port",
            str(place.port), "--host", "127.0.0.1",
        ],
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Neighbour(
        name="LitServe", wanted=15, packages=("litserve", "lightgbm"), command=_script("lit.py"), path="/predict",
        body=_lists,
    ),
)  # fmt: skip
