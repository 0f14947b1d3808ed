"""A request of 1,000 rows in each dialect, beside LightGBM's own C API call on the same matrix and threads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from appliance.encoder import RowEncoder
from appliance.serving.lightgbm_c import Booster
from tests.bench.serving.load import Client, Refused, medians_ms, write_request
from tests.bench.serving.models import COLUMNS, Size, make_rows
from tests.model_bundles import TrainedModel
from tests.served_api import ServedApi

ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way to ask for the same predictions."""

    name: str
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def write_dialects(model: TrainedModel) -> list[Dialect]:
    """The same rows in every dialect."""
    name, columns = model.schema.model, [column.name for column in model.schema.columns]
    rows = make_rows(ROWS)
    matrix = RowEncoder(model.schema).encode(rows).matrix
    cells, raw = matrix.tolist(), matrix.tobytes()
    tensor = {"name": "x", "shape": [ROWS, COLUMNS], "datatype": "FP64"}
    described = {**tensor, "parameters": {"binary_data_size": len(raw)}}
    # As Triton's client sends it: what is not asked for by name comes back in binary, too.
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    split = {"dataframe_split": {"columns": columns, "data": cells}}
    return [
        Dialect(name="native JSON", path=f"/models/{name}/predict", body=_json({"rows": rows})),
        Dialect(
            name="V2 JSON", path=f"/v2/models/{name}/infer",
            body=_json({"inputs": [{**tensor, "data": matrix.ravel().tolist()}]}),
        ),
        Dialect(
            name="V2 binary", path=f"/v2/models/{name}/infer", body=head + raw,
            headers={"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"},
        ),
        Dialect(name="V1 instances", path=f"/v1/models/{name}:predict", body=_json({"instances": cells})),
        Dialect(
            name="MLflow dataframe_split", path="/invocations", body=_json(split),
            headers={"x-amzn-sagemaker-target-model": name},
        ),
    ]  # fmt: skip


def compare_batch(api: ServedApi, size: Size, model: TrainedModel, repeats: int) -> None:
    """Print the time of each dialect and of the C API call; call and request take turns."""
    matrix = RowEncoder(model.schema).encode(make_rows(ROWS)).matrix
    booster = Booster(model.booster.model_to_string().encode())
    threads = len(os.sched_getaffinity(0))
    print(f"\n{ROWS} rows a request, {size.shape}, beside the C API call on {threads} threads, median of {repeats}")
    for dialect in write_dialects(model):
        headers = {"content-type": "application/json", **dialect.headers, "authorization": f"Bearer {api.key}"}
        request = write_request(dialect.path, dialect.body, headers)
        client = Client(api.port)
        try:
            client.exchange(request)
            floor, took = medians_ms(
                [partial(booster.predict, matrix, threads=threads), partial(client.exchange, request)], repeats
            )
        except Refused as exc:
            print(f"{dialect.name:>23}   left out, answered {str(exc)[:60]}")
        else:
            print(
                f"{dialect.name:>23} {took:7.2f} ms, {took / floor:5.2f} x the call's {floor:.2f} ms "
                f"({len(dialect.body) / 1000:.0f} kB)"
            )
        finally:
            client.close()


def _json(body: object) -> bytes:
    return json.dumps(body).encode()
