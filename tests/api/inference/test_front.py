"""Litestar comes into a process with the first request that is not plain, and never into the way of the others."""

from __future__ import annotations

from pathlib import Path

import httpx

from appliance.schema import Task
from tests.model_bundles import deploy, numeric_columns, prepare_state, publish, sample_rows, train_model
from tests.served_api import ServedApi, serve_api


def has_litestar(api: ServedApi) -> bool:
    """Whether the process has the compiled part of Litestar's parser in memory."""
    return "multidict" in Path(f"/proc/{api.process.pid}/maps").read_text()


def test_plain_requests_need_no_litestar_and_others_bring_it(tmp_path: Path) -> None:
    layout = prepare_state(tmp_path / "state")
    publish(layout, train_model("m", 1, task=Task.BINARY, columns=numeric_columns(3)))
    deploy(layout, {"m": 1})
    body = {"rows": sample_rows(numeric_columns(3), 2)}
    with serve_api(layout) as api:
        api.wait_until_serving("m", 1)
        plain = api.client.post("/models/m/predict", json=body)
        for path in ("/health/ready", "/metrics", "/docs", "/openapi.json", "/models/m", "/v2/models/m/ready"):
            assert api.client.get(path).status_code == 200
        with httpx.Client(base_url=api.url, headers={"x-api-key": api.key, "connection": "close"}) as client:
            assert client.post("/models/m/predict", json=body).status_code == 200
        assert not has_litestar(api)
        unusual = api.client.post("/models/m/predict?unusual=1", json=body)
        assert has_litestar(api)
    assert plain.status_code == unusual.status_code == 200
    assert [one["raw"] for one in plain.json()["predictions"]] == [one["raw"] for one in unusual.json()["predictions"]]
