"""Which rows are fitted on, which decide when to stop, and which are held out for the metrics."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadTable
from appliance.model_spec import ModelSpec
from appliance.training.identifiers import ID_LIKE_SHARE, is_entity_name
from appliance.training.table import RawRows

Way = Literal["time", "group", "column", "random"]
"""What decides on which side a row lies."""

STOP_SHARE = 0.125
"""Share of the rows that are not held out which decide when to stop."""

FEWEST_STOP_ROWS = 10
"""With fewer rows to decide on, the fit does not stop early."""

FEWEST_GROUPS = 10
"""With fewer entities, holding some of them out says little."""

_SIDES = {
    "fit": ("train", "fit", "training", "0", "false"),
    "stop": ("valid", "validation", "val", "stop", "dev"),
    "holdout": ("test", "holdout", "held_out", "testing", "1", "true"),
}
"""What a column of the user's own may call the sides; upper or lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Row indices, ascending and disjoint, together all labelled rows; ``stop`` may be empty."""

    fit: NDArray[np.int64]
    stop: NDArray[np.int64]
    holdout: NDArray[np.int64]
    sentence: str
    way: Way

    @property
    def trained_on(self) -> NDArray[np.int64]:
        """All rows that are not held out, ascending."""
        kept = np.ones(len(self.fit) + len(self.stop) + len(self.holdout), dtype=np.bool_)
        kept[self.holdout] = False
        return np.flatnonzero(kept)


def split_by_time(times: pl.Series, *, holdout: float) -> Split | None:
    """The newest rows are held out, the newest of the others decide when to stop.

    Rows of one instant stay on one side; rows without a time count as the oldest. Each side is in the table's order.

    Args:
        times: Dates or datetimes, one a row.
        holdout: Share held out, in (0, 0.5].

    Returns:
        None when too many rows share an instant for both sides to have rows.
    """
    stamps = times.cast(pl.Datetime("us")).dt.epoch("us").fill_null(np.iinfo(np.int64).min).to_numpy()
    order = np.argsort(stamps, kind="stable").astype(np.int64)
    ordered = stamps[order]
    cut = _instant_start(ordered, round(len(order) * (1.0 - holdout)))
    if cut == 0:
        return None
    stop = _instant_start(ordered[:cut], round(cut * (1.0 - STOP_SHARE)))
    if stop == 0 or cut - stop < FEWEST_STOP_ROWS:
        stop = cut
    first_held = str(times[int(order[cut])]).removesuffix("+00:00").removesuffix(" 00:00:00")
    return Split(
        fit=np.sort(order[:stop]), stop=np.sort(order[stop:cut]), holdout=np.sort(order[cut:]),
        sentence=f"by time: the {len(order) - cut} rows from {first_held} on are held out, {cut} older rows train",
        way="time",
    )  # fmt: skip


def split_at_random(strata: NDArray[np.float64] | None, rows: int, *, holdout: float, seed: int) -> Split:
    """A seeded draw, within each class where there are classes.

    The draw of a row depends on its place and the seed only, so rows appended later leave nearly all earlier rows
    on the side where they were: a champion is hardly ever judged on rows it was fitted on.

    Args:
        strata: Class index a row, or None for regression.
        rows: How many.
        holdout: Share held out, in (0, 0.5].
        seed: Of the draw.
    """
    draw = np.random.default_rng(seed).random(rows)
    side = np.empty(rows, dtype=np.int8)
    for group in (None,) if strata is None else np.unique(strata):
        inside = slice(None) if group is None else np.flatnonzero(strata == group)
        draws = draw[inside]
        count = min(max(round(len(draws) * holdout), 1), len(draws) - 1) if len(draws) > 1 else 0
        stopping = round((len(draws) - count) * STOP_SHARE)
        # 2: held out, 1: decides when to stop, 0: fitted on.
        side[inside] = _smallest(draws, count).astype(np.int8) + _smallest(draws, count + stopping)
    fitted, stopped, held_out = (np.flatnonzero(side == which) for which in (0, 1, 2))
    if len(stopped) < FEWEST_STOP_ROWS:
        fitted, stopped = np.sort(np.concatenate([fitted, stopped])), stopped[:0]
    drawn = "at random within each class" if strata is not None else "at random"
    return Split(
        fit=fitted, stop=stopped, holdout=held_out,
        sentence=f"{drawn} (seed {seed}): {len(held_out)} rows are held out, {rows - len(held_out)} train",
        way="random",
    )  # fmt: skip


def split_by_group(entities: pl.Series, *, holdout: float, seed: int) -> Split:
    """Whole entities are held out, so that the metrics say how the model does on entities it never saw.

    The draw of an entity depends on its value and the seed only: it stays on its side when rows are added. Rows without
    an entity count as one of their own, which trains.

    Args:
        entities: One value a row.
        holdout: Share of the entities held out, in (0, 0.5].
        seed: Of the draw.

    Raises:
        BadTable: There are too few entities to hold some out.
    """
    names = entities.cast(pl.String)
    known = names.drop_nulls().unique().sort()
    if len(known) < FEWEST_GROUPS:
        raise BadTable(
            f"group column {entities.name!r} has {len(known)} values; at least {FEWEST_GROUPS} are needed to hold some "
            "out; name another column, or set split_by = 'random'"
        )
    ranked = sorted(known.to_list(), key=lambda name: blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())
    count = max(1, round(len(ranked) * holdout))
    stopping = round((len(ranked) - count) * STOP_SHARE)
    sides = dict.fromkeys(ranked[:count], 2) | dict.fromkeys(ranked[count : count + stopping], 1)
    side = names.replace_strict(sides, default=0, return_dtype=pl.Int8).to_numpy()
    fitted, stopped, held = (np.flatnonzero(side == which).astype(np.int64) for which in (0, 1, 2))
    if len(stopped) < FEWEST_STOP_ROWS:
        fitted, stopped = np.sort(np.concatenate([fitted, stopped])), stopped[:0]
    return Split(
        fit=fitted, stop=stopped, holdout=held, way="group",
        sentence=f"by {entities.name!r} (seed {seed}): {count} of {len(known)} entities, {len(held)} rows, are held "
        f"out; none of them is among the {len(entities) - len(held)} rows that train",
    )  # fmt: skip


def split_by_column(sides: pl.Series) -> Split:
    """As a column of the user's own says: train, valid or test, or true for the rows held out.

    Rows that say nothing, as rows collected from traffic do, train.

    Raises:
        BadTable: It holds anything else, or leaves a side empty.
    """
    texts = sides.cast(pl.String).str.strip_chars().str.to_lowercase()
    known = {text: at for at, words in enumerate(_SIDES.values()) for text in words}
    wrong = texts.filter(texts.is_not_null() & ~texts.is_in(list(known)))
    accepted = "; ".join(f"{', '.join(words)} ({side})" for side, words in _SIDES.items())
    if len(wrong):
        raise BadTable(
            f"split column {sides.name!r} has {len(wrong)} rows that name no side, such as {wrong[0]!r}; "
            f"accepted: {accepted}"
        )
    side = texts.replace_strict(known, return_dtype=pl.Int8).fill_null(0).to_numpy()
    fitted, stopped, held = (np.flatnonzero(side == which).astype(np.int64) for which in (0, 1, 2))
    if not len(fitted) or not len(held):
        empty = "training" if not len(fitted) else "held-out"
        raise BadTable(f"split column {sides.name!r} names no {empty} row; accepted: {accepted}")
    if len(stopped) < FEWEST_STOP_ROWS:
        fitted, stopped = np.sort(np.concatenate([fitted, stopped])), stopped[:0]
    return Split(
        fit=fitted, stop=stopped, holdout=held, way="column",
        sentence=f"by column {sides.name!r}, as declared: {len(held)} rows are held out, "
        f"{len(sides) - len(held)} train",
    )  # fmt: skip


def choose_way(
    frame: RawRows, spec: ModelSpec, time: str | None, *, taken: Collection[str] = ()
) -> tuple[Way, str | None]:
    """What decides the split, and the column it is decided by.

    As ``split_by`` says, else the declared ``split`` or ``group``, else the time column, else an inferred group, which
    is none of ``taken``.

    Raises:
        BadTable: ``split_by`` asks for a time or group column that there is not.
    """
    others = {*spec.no_inputs, *spec.columns, *spec.encode, time, *taken}
    found = spec.group or find_group(frame, {name for name in frame.columns if name not in others})
    columns: dict[Way, str | None] = {"column": spec.split, "group": found, "time": time, "random": None}
    if spec.split_by is None:
        declared: tuple[Way, ...] = ("column",) if spec.split else ("group",) if spec.group else ()
        way = next((way for way in (*declared, "time", "group") if columns[way] is not None), "random")
        return way, columns[way]  # type: ignore[return-value,index]  # a way, as the dict's keys are
    if spec.split_by != "random" and columns[spec.split_by] is None:
        raise BadTable(
            f"split_by = {spec.split_by!r}, but dataset {spec.dataset!r} has no column for it; "
            f"name it with the key {spec.split_by!r}, or set another split_by"
        )
    return spec.split_by, columns[spec.split_by]


def find_group(frame: RawRows, free: set[str]) -> str | None:
    """A column that is called like an entity and whose values come back; None without one.

    Args:
        frame: The labelled rows.
        free: Columns that have no other part in the declaration.
    """
    for name in frame.columns:
        if name not in free or not is_entity_name(name):
            continue
        series = frame[name]
        if not (series.dtype.is_integer() or series.dtype == pl.String):
            continue
        if series.dtype == pl.String and series.drop_nulls().head(FEWEST_GROUPS).str.contains(r"^[{\[]").all():
            continue  # JSON: what is known of a user, not who it is
        distinct = series.n_unique()
        if FEWEST_GROUPS <= distinct < ID_LIKE_SHARE * len(series):
            return series.name
    return None


def with_stop_rows(split: Split, *, seed: int) -> Split:
    """The same split with rows to stop on drawn from those that train, where it names none and there are enough."""
    if len(split.stop) or round(len(split.fit) * STOP_SHARE) < FEWEST_STOP_ROWS:
        return split
    draw = np.random.default_rng(seed).permutation(len(split.fit))
    count = round(len(split.fit) * STOP_SHARE)
    return Split(
        fit=np.sort(split.fit[draw[count:]]), stop=np.sort(split.fit[draw[:count]]), holdout=split.holdout,
        sentence=split.sentence, way=split.way,
    )  # fmt: skip


def _smallest(draws: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Which rows have the ``count`` smallest draws; of equal ones the first. Sorting ten million takes seconds."""
    if count == 0:
        return np.zeros(len(draws), dtype=np.bool_)
    bound = np.partition(draws, count - 1)[count - 1]
    chosen: NDArray[np.bool_] = draws < bound
    chosen[np.flatnonzero(draws == bound)[: count - np.count_nonzero(chosen)]] = True
    return chosen


def _instant_start(ordered: NDArray[np.int64], index: int) -> int:
    """The first row of the instant that row ``index`` belongs to."""
    index = min(max(index, 0), len(ordered) - 1)
    return int(np.searchsorted(ordered, ordered[index], side="left"))
