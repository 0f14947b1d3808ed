"""What a dataset's owner says about its columns; every ingest into it is held against that.

Rules lie beside the dataset (``_rules.json``), and may be there before its first row.
"""

from __future__ import annotations

import hashlib
import tomllib
from datetime import date, datetime
from pathlib import Path

import msgspec
import polars as pl

from storage.bundles import replace_durably
from storage.columns import Dtype
from storage.datasets import NAME, dataset_path
from storage.errors import RulesWrong, StateUnwritable
from storage.layout import Layout

Bound = float | int | date | datetime
"""A limit as it is compared; in a file a date is a text."""
Value = str | bool | int | float


class ColumnRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rules of one column; a row that breaks one is rejected, with the reason, and kept beside the version.

    Attributes:
        type: What every value has to be; text that reads as that is read so, the rest is rejected.
        required: A missing value rejects the row.
        min: Least value of a number, date or datetime (ISO 8601).
        max: Greatest value.
        values: The only values there may be.
        regex: What the whole text has to match.
        unique: A value that stands in an earlier row which is taken, of this ingest or of the dataset, rejects the row.
        max_null_share: 0 to 1; with a larger share of missing values the whole ingest is refused.
    """

    type: Dtype | None = None
    required: bool = False
    min: int | float | str | None = None
    max: int | float | str | None = None
    values: tuple[Value, ...] = ()
    regex: str | None = None
    unique: bool = False
    max_null_share: float | None = None


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rules of a dataset.

    Attributes:
        columns: By name.
        max_rejected_share: 0 to 1; when more rows break a rule the whole ingest is refused: the source is another one.
    """

    columns: dict[str, ColumnRules] = {}
    max_rejected_share: float = 0.5

    @property
    def sha256(self) -> str:
        """Tells these rules from others."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def parse_rules(toml: str) -> Rules:
    """Rules from a TOML text: ``max_rejected_share``, and a table ``[columns.NAME]`` a column.

    Raises:
        RulesWrong: It is no TOML, names an unknown rule, or a rule contradicts itself.
    """
    try:
        rules = msgspec.convert(_dates_as_text(tomllib.loads(toml)), Rules)
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError) as exc:
        raise RulesWrong(
            f"the rules cannot be read: {exc}; a table [columns.NAME] takes {', '.join(ColumnRules.__struct_fields__)}"
        ) from exc
    if not rules.columns:
        raise RulesWrong("the rules name no column; write a table [columns.NAME] for each")
    _require_share("max_rejected_share", rules.max_rejected_share)
    for name, column in rules.columns.items():
        _require_sound(name, column)
    return rules


def _dates_as_text(value: object) -> object:
    """TOML has dates; rules keep them as ISO 8601."""
    if isinstance(value, dict):
        return {key: _dates_as_text(each) for key, each in value.items()}
    return value.isoformat() if isinstance(value, date) else value


def _require_sound(name: str, rules: ColumnRules) -> None:
    if rules == ColumnRules():
        raise RulesWrong(f"[columns.{name!r}] says nothing; give it a rule or leave it out")
    if rules.max_null_share is not None:
        _require_share(f"{name}: max_null_share", rules.max_null_share)
    if rules.regex is not None:
        try:
            pl.Series([""]).str.contains(rules.regex)
        except pl.exceptions.ComputeError as exc:
            told = str(exc).splitlines()[-1]
            raise RulesWrong(f"{name}: the regex {rules.regex!r} cannot be used: {told}") from exc
    low, high = bound(name, rules.min), bound(name, rules.max)
    if low is not None and high is not None:
        if isinstance(low, date) != isinstance(high, date):
            raise RulesWrong(f"{name}: min and max must both be numbers or both be dates")
        if _as_number(low) > _as_number(high):
            raise RulesWrong(f"{name}: min {rules.min} is above max {rules.max}; no value could be right")


def bound(name: str, value: float | str | None) -> Bound | None:
    """A limit as a number, a date or a datetime.

    Raises:
        RulesWrong: It is a text that is none.
    """
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value) if len(value) == len("2026-01-31") else datetime.fromisoformat(value)
    except ValueError:
        raise RulesWrong(f"{name}: {value!r} is no limit; give a number, or a date like 2026-01-31") from None


def _as_number(value: Bound) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value.toordinal() - date(1970, 1, 1).toordinal()) * 86_400 if isinstance(value, date) else float(value)


def _require_share(what: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise RulesWrong(f"{what} is {share}; a share lies in 0 to 1")


def find_rules(layout: Layout, name: str) -> Rules | None:
    """The rules of a dataset, or None.

    Raises:
        RulesWrong: The file is damaged.
    """
    path = _path(layout, name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Rules)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError) as exc:
        raise RulesWrong(f"the rules in {path} cannot be read: {exc}; declare them again") from exc


def put_rules(layout: Layout, name: str, rules: Rules | None) -> None:
    """Declare the rules of a dataset, which need not exist yet; None takes them away.

    Raises:
        RulesWrong: The name cannot be a dataset's.
        StateUnwritable: The disk is full or read-only.
    """
    if not NAME.fullmatch(name):
        raise RulesWrong(f"{name!r} cannot name a dataset")
    path = _path(layout, name)
    try:
        if rules is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as exc:
        raise StateUnwritable(f"cannot write {path}: {exc.strerror}; run 'appliance doctor'") from exc
    replace_durably(path, msgspec.json.encode(rules))


def _path(layout: Layout, name: str) -> Path:
    return dataset_path(layout, name) / "_rules.json"
