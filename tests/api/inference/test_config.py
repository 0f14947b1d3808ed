from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.api.inference.config import ApiConfig, VertexRoutes, read_config
from appliance.errors import BadSetting
from appliance.settings import Settings, load_settings


def same(config: ApiConfig, settings: Settings) -> None:
    assert config == ApiConfig(
        layout=settings.layout, listen=settings.listen, port=settings.api_port, workers=settings.api_workers,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s, max_rows=settings.max_rows, max_in_flight=settings.max_in_flight,
        key_rate_per_s=settings.key_rate_per_s, default_model=settings.default_model,
        capture_reserve_mb=settings.capture_reserve_mb, capture_durability=settings.capture_durability,
        vertex=VertexRoutes(),
    )  # fmt: skip


def test_defaults_are_those_of_the_settings() -> None:
    same(read_config({}), Settings())


@pytest.mark.parametrize(
    "environment",
    [
        {"APPLIANCE_STATE": "/srv/x", "APPLIANCE_LISTEN": "::1", "APPLIANCE_API_PORT": "81"},
        {"APPLIANCE_API_WORKERS": "3", "APPLIANCE_MAX_BODY_BYTES": "1024", "APPLIANCE_CAPTURE_RESERVE_MB": "0"},
        {"APPLIANCE_MAX_BODY_BYTES": "64MiB", "APPLIANCE_CAPTURE_RESERVE_MB": "1.5 gib"},
        {"APPLIANCE_CAPTURE_DURABILITY": "sync"},
        {"APPLIANCE_MAX_ROWS": "5", "APPLIANCE_MAX_IN_FLIGHT": "3", "APPLIANCE_DEFAULT_MODEL": "bikes"},
        {"APPLIANCE_KEY_RATE_PER_S": "0.5"},
        {"APPLIANCE_KEY_RATE_PER_S": "20", "APPLIANCE_BODY_TIMEOUT_S": "2.5"},
        {"AIP_HTTP_PORT": "8081"},
        {"AIP_HTTP_PORT": "8081", "APPLIANCE_API_PORT": "8082"},
    ],
)
def test_the_environment_reads_as_it_does_everywhere(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    same(read_config(environment), load_settings())


@pytest.mark.parametrize("more", [{"APPLIANCE_API_PORT": "83"}, {"AIP_HTTP_PORT": "84"}])
def test_the_file_reads_as_it_does_everywhere_below_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: dict[str, str]
) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text('state = "/srv/y"\napi_port = 82\napi_workers = 2\nmax_body_bytes = "2KiB"\nkey_rate_per_s = 2.5\n')
    environment = {"APPLIANCE_CONFIG": str(path), **more}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    same(read_config(environment), load_settings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "x"),
        ("API_PORT", "0"),
        ("API_PORT", "65536"),
        ("API_WORKERS", "65"),
        ("API_WORKERS", "-1"),
        ("MAX_BODY_BYTES", "1"),
        ("MAX_BODY_BYTES", "64 apples"),
        ("MAX_BODY_BYTES", "1kB"),
        ("BODY_TIMEOUT_S", "0"),
        ("BODY_TIMEOUT_S", "inf"),
        ("CAPTURE_RESERVE_MB", "-1"),
        ("CAPTURE_RESERVE_MB", "256MB"),
        ("CAPTURE_DURABILITY", "fsync"),
        ("MAX_ROWS", "0"),
        ("MAX_IN_FLIGHT", "0"),
        ("KEY_RATE_PER_S", "-1"),
        ("KEY_RATE_PER_S", "nan"),
        ("KEY_RATE_PER_S", "inf"),
        ("KEY_RATE_PER_S", "fast"),
    ],
)
def test_both_refuse_the_same(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name.lower()):
        read_config({f"APPLIANCE_{name}": value})
    monkeypatch.setenv(f"APPLIANCE_{name}", value)
    with pytest.raises(BadSetting, match=name.lower()):
        load_settings()


@pytest.mark.parametrize("cores", [1, 2])
def test_without_a_setting_there_is_a_worker_a_core_but_one(cores: int) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < cores:
        pytest.skip(f"this machine lets us have {len(allowed)} cores")
    code = "from appliance.api.inference.process import count_workers; print(count_workers(0), count_workers(5))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed[:cores]),
    )  # fmt: skip
    assert done.stdout.split() == [str(max(1, cores - 1)), "5"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "appliance.toml"
    with pytest.raises(BadSetting, match=r"appliance\.toml"):
        read_config({"APPLIANCE_CONFIG": str(path)})
    path.write_text("state = ")
    with pytest.raises(BadSetting, match=r"appliance\.toml"):
        read_config({"APPLIANCE_CONFIG": str(path)})


def test_the_routes_of_vertex_are_paths() -> None:
    found = read_config({"AIP_HEALTH_ROUTE": "/v1/endpoints/7", "AIP_PREDICT_ROUTE": "/v1/endpoints/7:predict"})
    assert found.vertex == VertexRoutes(health="/v1/endpoints/7", predict="/v1/endpoints/7:predict")


@pytest.mark.parametrize("path", ["predict", "/a b", "/{model}", "/a?b", "/a\n", "/ä"])
def test_a_route_of_vertex_that_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(BadSetting, match="AIP_PREDICT_ROUTE"):
        read_config({"AIP_PREDICT_ROUTE": path})
