"""The settings that the inference API needs, read without pydantic: its import alone would cost a third of the memory.

Names, defaults and bounds are those of ``appliance.settings``; a test holds the two together.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadSetting
from appliance.sizes import read_bytes, read_mebibytes
from storage.layout import Layout

CONFIG_VARIABLE = "APPLIANCE_CONFIG"
VERTEX_PORT_VARIABLE = "AIP_HTTP_PORT"
_PREFIX = "APPLIANCE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexRoutes:
    """Paths that Vertex AI chooses for a container; empty outside of one.

    Attributes:
        health: From ``AIP_HEALTH_ROUTE``.
        predict: From ``AIP_PREDICT_ROUTE``.
    """

    health: str = ""
    predict: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """What one inference API process was told.

    Attributes:
        layout: The state.
        listen: Address to bind, when no socket was inherited.
        port: Port to bind; 0 picks a free one.
        workers: Equal processes on one socket; 0: a core less one, at least one.
        max_body_bytes: Larger bodies are refused.
        body_timeout_s: Seconds that a request's head, and then its body, may take to arrive.
        max_rows: Requests with more rows are refused.
        max_in_flight: Requests with a body that a worker answers at once; more are refused.
        key_rate_per_s: Requests a second that one key may send to one worker; 0: no limit.
        default_model: Who answers where a path names no model; empty: the only deployed one.
        capture_reserve_mb: Free space below which nothing is captured.
        capture_durability: ``sync``: an answer leaves when the disk has its event; ``async``: when the kernel has it.
        vertex: What a Vertex AI container is told beside its port.
    """

    layout: Layout
    listen: str
    port: int
    workers: int
    max_body_bytes: int
    body_timeout_s: float
    max_rows: int
    max_in_flight: int
    key_rate_per_s: float
    default_model: str
    capture_reserve_mb: int
    capture_durability: str
    vertex: VertexRoutes


def read_config(environment: Mapping[str, str]) -> ApiConfig:
    """Read the settings: environment over the file that APPLIANCE_CONFIG names, over the defaults.

    ``AIP_HTTP_PORT``, which Vertex AI sets, is the port unless ``APPLIANCE_API_PORT`` says another; ``AIP_STORAGE_URI``
    means nothing here, since bundles come from the state directory.

    Raises:
        BadSetting: A value is not what is accepted, or the file cannot be read.
    """
    values = {name.upper(): value for name, value in _read_file(environment.get(CONFIG_VARIABLE)).items()}
    if port := environment.get(VERTEX_PORT_VARIABLE):
        values["API_PORT"] = port
    values |= {name.removeprefix(_PREFIX): value for name, value in environment.items() if name.startswith(_PREFIX)}
    return ApiConfig(
        layout=Layout(root=Path(str(values.get("STATE", "/var/lib/appliance")))),
        listen=str(values.get("LISTEN", "127.0.0.1")),
        port=_number(values, "API_PORT", 8000, 1, 65535),
        workers=_number(values, "API_WORKERS", 0, 0, 64),
        max_body_bytes=_size(values, "MAX_BODY_BYTES", 32 << 20, 1024, read_bytes),
        body_timeout_s=_decimal(values, "BODY_TIMEOUT_S", 30.0, above_zero=True),
        max_rows=_number(values, "MAX_ROWS", 100_000, 1, None),
        max_in_flight=_number(values, "MAX_IN_FLIGHT", 256, 1, None),
        key_rate_per_s=_decimal(values, "KEY_RATE_PER_S", 0.0),
        default_model=str(values.get("DEFAULT_MODEL", "")),
        capture_reserve_mb=_size(values, "CAPTURE_RESERVE_MB", 256, 0, read_mebibytes),
        capture_durability=_choice(values, "CAPTURE_DURABILITY", ("async", "sync")),
        vertex=VertexRoutes(
            health=_route(environment, "AIP_HEALTH_ROUTE"), predict=_route(environment, "AIP_PREDICT_ROUTE")
        ),
    )


def _read_file(path: str | None) -> dict[str, object]:
    if not path:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise BadSetting(f"settings file {path}: {exc}") from exc


def _choice(values: Mapping[str, object], name: str, accepted: tuple[str, ...]) -> str:
    """One of a few words; the first is the default."""
    value = str(values.get(name, accepted[0]))
    if value not in accepted:
        raise BadSetting(f"setting {name.lower()} is {value!r}; accepted: {', '.join(accepted)}")
    return value


def _number(values: Mapping[str, object], name: str, default: int, low: int, high: int | None) -> int:
    value = values.get(name, default)
    accepted = f"a whole number from {low}" + (f" to {high}" if high else " on")
    try:
        number = int(str(value))
    except ValueError:
        raise BadSetting(f"setting {name.lower()} is {value!r}; accepted: {accepted}") from None
    if number < low or (high is not None and number > high):
        raise BadSetting(f"setting {name.lower()} is {number}; accepted: {accepted}")
    return number


def _size(
    values: Mapping[str, object], name: str, default: int, low: int, read: Callable[[object], int]
) -> int:  # fmt: skip
    try:
        size = read(values.get(name, default))
    except ValueError as exc:
        raise BadSetting(f"setting {name.lower()}: {exc}") from None
    return _number({name: size}, name, default, low, None)


def _decimal(values: Mapping[str, object], name: str, default: float, *, above_zero: bool = False) -> float:
    value = values.get(name, default)
    accepted = "a number above 0" if above_zero else "a number from 0 on"
    try:
        number = float(str(value))
    except ValueError:
        raise BadSetting(f"setting {name.lower()} is {value!r}; accepted: {accepted}") from None
    if not math.isfinite(number) or number < 0 or (above_zero and number == 0):
        raise BadSetting(f"setting {name.lower()} is {number}; accepted: {accepted}")
    return number


def _route(environment: Mapping[str, str], name: str) -> str:
    """A path that Vertex AI chose, or empty."""
    path = environment.get(name, "")
    if path and (not path.startswith("/") or not path.isascii() or not path.isprintable() or set(path) & set(" {}?#")):
        raise BadSetting(f"the variable {name} is {path!r}; accepted: a path such as /predict")
    return path
