"""A model's declaration: what it learns from which dataset, read from and written as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from appliance.cron import require_cron
from appliance.errors import BadModelSpec
from appliance.schema import Kind, Task

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Names of models and datasets: they are folders and parts of URLs."""

WINDOW = r"^[1-9][0-9]{0,4}[mhd]$"
"""A length of time: a number and m, h or d."""

_SECONDS = {"m": 60, "h": 3600, "d": 86400}

OWN_PARAMS = frozenset(
    {
        "categorical_feature", "data", "deterministic", "device", "device_type", "force_col_wise", "force_row_wise",
        "input_model", "metric", "n_jobs", "nthread", "num_class", "num_threads", "num_thread",
        "objective", "output_model", "random_state", "seed", "task", "valid",
    }
)  # fmt: skip
"""LightGBM parameters that follow from the rest of the declaration, so that it may not set them."""


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model, as declared; ``None`` and empty mean: find out from the data.

    Attributes:
        task: None: from the target's values.
        time: The column that orders the rows; None: the only date column, if there is exactly one.
        exclude: Columns that are not known when we predict, or must not be used.
        columns: Kinds that override the ones read off the column types.
        params: LightGBM parameters beside the defaults.
        rounds: Most boosting rounds; early stopping usually ends sooner.
        early_stopping: Rounds without an improvement on the early-stopping rows before the fit ends.
        holdout: Share of the rows held out for the metrics, in (0, 0.5].
        seed: Of every draw a training makes.
        deploy: ``auto``: a version that passes the gate serves at once; ``manual``: ``appliance deploy`` decides.
        window: The window monitoring shows by default, such as ``24h`` or ``30d``.
        schedule: Cron expression in UTC at which the model retrains by itself; None: never.
    """

    name: Annotated[str, msgspec.Meta(pattern=NAME)]
    dataset: Annotated[str, msgspec.Meta(pattern=NAME)]
    target: Annotated[str, msgspec.Meta(min_length=1)]
    task: Task | None = None
    time: str | None = None
    exclude: tuple[str, ...] = ()
    columns: Mapping[str, Kind] = msgspec.field(default_factory=dict)
    params: Mapping[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    rounds: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    early_stopping: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50
    holdout: Annotated[float, msgspec.Meta(gt=0.0, le=0.5)] = 0.2
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 1
    deploy: Literal["auto", "manual"] = "manual"
    window: Annotated[str, msgspec.Meta(pattern=WINDOW)] = "24h"
    schedule: str | None = None

    @property
    def window_s(self) -> int:
        """The default monitoring window, seconds."""
        return int(self.window[:-1]) * _SECONDS[self.window[-1]]


def load_spec(path: Path) -> ModelSpec:
    """Read a declaration from a TOML file.

    Raises:
        BadModelSpec: The file cannot be read, is not TOML, or a key is unknown, missing or out of range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadModelSpec(f"cannot read the model file {path}: {exc}") from exc
    return parse_spec(text, origin=str(path))


def parse_spec(text: str, *, origin: str = "model") -> ModelSpec:
    """Read a declaration from TOML text; ``origin`` names it in errors.

    Raises:
        BadModelSpec: The text is not TOML, or a key is unknown, missing or out of range.
    """
    try:
        spec = msgspec.toml.decode(text, type=ModelSpec, strict=True)
    except msgspec.ValidationError as exc:
        raise BadModelSpec(f"{origin}: {_explain(str(exc))}") from exc
    except msgspec.DecodeError as exc:
        raise BadModelSpec(f"{origin} is not valid TOML: {exc}") from exc
    require_sound(spec, origin=origin)
    return spec


def require_sound(spec: ModelSpec, *, origin: str = "model") -> None:
    """Check what no single key shows; for declarations that were built in code too.

    Raises:
        BadModelSpec: A name is not allowed, keys contradict each other, or a parameter is not the declaration's.
    """
    for key, value in (("name", spec.name), ("dataset", spec.dataset)):
        if not re.match(NAME, value):
            raise BadModelSpec(
                f"{origin}: key '{key}': {value!r} is not a name; "
                "use 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit"
            )
    if spec.target in spec.exclude:
        raise BadModelSpec(f"{origin}: key 'exclude' holds the target {spec.target!r}; take it out there")
    if spec.time == spec.target:
        raise BadModelSpec(f"{origin}: key 'time': {spec.time!r} is the target; name the column that orders the rows")
    for column in spec.columns:
        if column == spec.target or column in spec.exclude:
            raise BadModelSpec(f"{origin}: key 'columns': {column!r} is no input (the target, or excluded)")
    if wrong := sorted(OWN_PARAMS & set(spec.params)):
        raise BadModelSpec(
            f"{origin}: key 'params': {', '.join(wrong)} follow(s) from the task, the seed or this host; leave out"
        )
    if spec.schedule is not None:
        try:
            require_cron(spec.schedule)
        except ValueError as exc:
            raise BadModelSpec(f"{origin}: key 'schedule': {exc}; '0 3 * * 1' is Mondays at three, UTC") from exc


def dump_spec(spec: ModelSpec) -> str:
    """The declaration as TOML; what is at its default is left out. ``parse_spec`` reads it back."""
    lines: list[str] = []
    tables: list[str] = []
    for field in msgspec.structs.fields(ModelSpec):
        value = getattr(spec, field.name)
        default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        if value is None or value == default:
            continue
        if isinstance(value, Mapping):
            tables += ["", f"[{field.name}]", *(f"{_text(key)} = {_text(item)}" for key, item in value.items())]
        else:
            lines.append(f"{field.name} = {_text(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _text(value: object) -> str:
    """A TOML value; JSON's strings, numbers, booleans and arrays of strings are TOML's too, but for the delete key."""
    plain = [str(item) for item in value] if isinstance(value, tuple) else value
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")


def _explain(message: str) -> str:
    """Msgspec's message with the key first: ``Expected `str`, got `int` - at `$.target```."""
    found = re.fullmatch(r"(.*) - at `\$\.?(.*)`", message)
    if not found:
        return message
    what, key = found.groups()
    return f"key '{key}': {what}" if key else what
