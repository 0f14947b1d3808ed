"""Columns that predict the target nearly as well as a model should, or come with it: do they know the answer?

Looked for when a table is added with its target, and again by a training among the columns that it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

STRONG = 0.95
"""One-column score from which a leak is likely."""
SUSPECT = 0.85
"""One-column score from which a person should ask whether the value is known when we predict."""
EXPLAINED = 0.3
"""Share of a class's variance that a column with an AUC below ``STRONG`` explains too, to be asked about: where a class
is rare, any good input has a high AUC (a machine's torque, of its failures)."""
ALIKE = 0.7
"""R2 from which a column is asked about that needs no fit but an offset: a departure's delay, of an arrival's."""
TOGETHER = 0.85
"""Of the rows that lack a column or the target, the share that lack both, from which they become known together."""

ALL = 0.995
"""A share above is told as all."""

SAMPLE_ROWS = 20_000
"""Rows looked at, evenly spaced."""
MIN_ROWS = 50
"""Fewer say nothing: chance alone fits them."""
MIN_KNOWN = 100
"""Fewer rows with a value are not looked at by themselves."""
MIN_CLASS_ROWS = 10
"""A class with fewer rows, or with all but so few, is not looked at."""
MIN_UNLABELLED = 20
"""Fewer rows without a target say nothing about what is missing with it."""

ROWS_A_LEAF = 10
MOST_LEAVES = 64
SHRINK_ROWS = 2
"""A leaf's mean counts so many rows of the overall mean."""
MOST_LEVELS_SHARE = 0.1
"""A text column with more levels a row than this is like an id, and fits anything."""
MOST_CLASSES = 20
"""A whole-number target with at most so many values is a class."""

Floats = npt.NDArray[np.float64]
Leaves = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Measure = Literal["R2", "AUC"]
Sign = Literal["value", "alike", "missing", "together"]
"""What knows the answer: the column's value; that it is nearly the target; whether there is a value; that it comes and
goes with the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A column, and why it is one.

    Attributes:
        measure: Of ``score``: R2 of a number, AUC of a class (the lowest one-against-rest).
        score: How well it predicts alone; of ``together`` the share of the rows without either that lack both.
        known: Share of the rows that the score is of.
    """

    column: str
    measure: Measure
    score: float
    sign: Sign = "value"
    known: float = 1.0

    @property
    def is_strong(self) -> bool:
        """Whether a leak is likely."""
        return self.sign != "together" and self.score >= STRONG

    def question(self, target: str) -> str:
        """What to ask a person about it."""
        if self.sign == "together":
            return (
                f"{self.column!r} is missing where {target!r} is (of the rows that lack either, {self.score:.0%} lack "
                "both), as if they became known together: is it really known when you predict? If not, exclude it"
            )
        offset = " but for an offset" if self.sign == "alike" else ""
        who = f"whether {self.column!r} is missing" if self.sign == "missing" else f"{self.column!r}{offset}"
        where = f" in the {self.known:.0%} of the rows that have it" if self.known < ALL else ""
        return (
            f"{who} alone predicts {target!r} with {self.measure} {self.score:.2f}{where}: is it really known when you "
            "predict? If not, exclude it"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A column of the sampled rows, cut into leaves.

    Attributes:
        leaves: Of each row: 0 where the value is missing; None where the column has one value, or is like an id.
        missing: The rows without a value.
        values: Numbers as they are.
    """

    column: str
    leaves: Leaves | None
    missing: Mask
    values: Floats | None = None

    @classmethod
    def numbers(cls, column: str, values: Floats) -> Look:
        """Leaves of ``ROWS_A_LEAF`` rows or more between quantiles; NaN is missing."""
        missing = np.isnan(values)
        known = values[~missing]
        wanted = min(MOST_LEAVES, len(known) // ROWS_A_LEAF)
        if wanted < 2:
            return cls(column=column, leaves=None, missing=missing)
        edges = np.unique(np.quantile(known, np.arange(1, wanted) / wanted))
        placed: Leaves = np.where(missing, 0, 1 + np.searchsorted(edges, values, side="left"))
        return cls(column=column, leaves=placed, missing=missing, values=values)

    @classmethod
    def levels(cls, column: str, codes: Floats) -> Look:
        """A leaf a level; NaN is missing."""
        missing = np.isnan(codes)
        found, placed = np.unique(codes[~missing], return_inverse=True)
        if not 1 <= len(found) <= max(2, MOST_LEVELS_SHARE * len(codes)):
            return cls(column=column, leaves=None, missing=missing)
        leaves = np.zeros(len(codes), dtype=np.int64)
        leaves[~missing] = 1 + placed
        return cls(column=column, leaves=leaves, missing=missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Score:
    """How well leaves predict; ``explained`` is the R2 also where ``value`` is an AUC."""

    value: float
    explained: float
    known: float
    sign: Sign


def find_suspects(rows: pl.LazyFrame, target: str, count: int) -> tuple[Suspect, ...]:
    """The columns of a table to ask about, in their order; few rows, or a target without classes, give none.

    Args:
        rows: The table.
        target: The column to predict.
        count: Rows of the table.
    """
    sample = rows.gather_every(max(1, -(-count // SAMPLE_ROWS))).collect()
    labelled = sample[target].is_not_null()
    others = sample.drop(target)
    gone = {column.name: column.is_null().to_numpy() for column in others.iter_columns()}
    together = missing_together(gone, ~labelled.to_numpy())
    known = others.filter(labelled)
    values = sample[target].filter(labelled)
    measure: Measure = "R2" if _is_number(values) else "AUC"
    looks = [_look(column) for column in known.iter_columns()]
    return suspects_among(looks, _truths(values), measure, together)


def suspects_among(
    looks: Sequence[Look], truths: Sequence[Floats], measure: Measure, together: Iterable[Suspect] = ()
) -> tuple[Suspect, ...]:
    """Those of the columns that are to be asked about, in their order.

    Each predicts by its leaf's mean, what a tree on that column alone could do; the means are of the other half of the
    rows, so that chance predicts nothing. A number predicts a number by a straight line, too. That is measured on all
    rows, where missing is a leaf of its own; on the rows that have a value, since rows that were collected from traffic
    lack what is no input; and with nothing but whether there is one, since a date of cancellation tells by being there.

    A number is asked about from an R2 of ``SUSPECT``, or from ``ALIKE`` if the column is on the target's own scale; a
    class from an AUC of ``STRONG``, or from ``SUSPECT`` if the column explains ``EXPLAINED`` of its variance.

    Args:
        looks: The columns of labelled rows.
        truths: What is to be predicted, ``(rows,)``: the number, or an indicator a class (one of two classes).
        measure: Of the scores.
        together: Columns that are asked about in any case.
    """
    asked = {suspect.column: suspect for suspect in together}
    best: dict[str, _Score] = {}
    if len(truths) and len(truths[0]) >= MIN_ROWS:
        for look in looks:
            scores = [score for score in _scores(look, truths, measure) if score is not None]
            if scores:
                best[look.column] = max(
                    scores,
                    key=lambda score: (_is_suspect(score, measure), round(score.value, 2), score.sign == "missing"),
                )
    asked |= {
        name: Suspect(column=name, measure=measure, score=score.value, sign=score.sign, known=score.known)
        for name, score in best.items()
        if _is_suspect(score, measure)
    }
    return tuple(asked[look.column] for look in looks if look.column in asked)


def missing_together(gone: dict[str, Mask], unlabelled: Mask) -> tuple[Suspect, ...]:
    """Columns that are missing in the same rows as the target, as what is measured together with it.

    None if half of the columns are: then those rows are empty, which says nothing.

    Args:
        gone: By column: the rows that lack it, shape ``(rows,)``.
        unlabelled: The rows that lack the target.
    """
    if int(unlabelled.sum()) < MIN_UNLABELLED:
        return ()
    found = []
    for name, missing in gone.items():
        share = int((missing & unlabelled).sum()) / int((missing | unlabelled).sum())
        if share >= TOGETHER:
            found.append(Suspect(column=name, measure="R2", score=share, sign="together"))
    return tuple(found) if 2 * len(found) < len(gone) else ()


def _scores(look: Look, truths: Sequence[Floats], measure: Measure) -> list[_Score | None]:
    missing = look.missing
    gaps = int(missing.sum())
    scores = [] if look.leaves is None else [_score(look.leaves, truths, measure)]
    if look.leaves is not None and gaps and len(missing) - gaps >= MIN_KNOWN:
        there = [truth[~missing] for truth in truths]
        scores.append(_score(look.leaves[~missing], there, measure, known=1 - gaps / len(missing)))
    if measure == "R2" and look.values is not None and len(missing) - gaps >= MIN_KNOWN:
        scores += _straight(look.values[~missing], truths[0][~missing], known=1 - gaps / len(missing))
    if min(gaps, len(missing) - gaps) >= MIN_CLASS_ROWS:
        scores.append(_score(missing.astype(np.int64), truths, measure, sign="missing"))
    return scores


def _score(
    leaves: Leaves, truths: Sequence[Floats], measure: Measure, *, sign: Sign = "value", known: float = 1.0
) -> _Score | None:
    """The lowest over the truths; None where no class has rows enough."""
    found = []
    for truth in truths:
        if measure == "AUC" and min(truth.sum(), len(truth) - truth.sum()) < MIN_CLASS_ROWS:
            continue
        explained = _r2(leaves, truth)
        value = explained if measure == "R2" else _auc(leaves, truth)
        found.append(_Score(value=value, explained=explained, known=known, sign=sign))
    return min(found, key=lambda score: score.value, default=None)


def _straight(values: Floats, truth: Floats, *, known: float) -> list[_Score]:
    """The R2 of a straight line through the column, and of the column itself but for the difference of the means."""
    spread, own = float(truth.var()), float(values.var())
    if spread <= 0 or own <= 0:
        return []
    line = float(np.mean((values - values.mean()) * (truth - truth.mean()))) ** 2 / (spread * own)
    itself = 1.0 - float((truth - values).var()) / spread
    return [
        _Score(value=line, explained=line, known=known, sign="value"),
        _Score(value=itself, explained=itself, known=known, sign="alike"),
    ]


def _is_suspect(score: _Score, measure: Measure) -> bool:
    if measure == "R2":
        return score.value >= (ALIKE if score.sign == "alike" else SUSPECT)
    return score.value >= STRONG or (score.value >= SUSPECT and score.explained >= EXPLAINED)


def _is_number(target: pl.Series) -> bool:
    if target.dtype.is_float() and target.n_unique() > 2:
        return True
    return target.dtype.is_integer() and target.n_unique() > MOST_CLASSES


def _truths(target: pl.Series) -> list[Floats]:
    """What is to be predicted: the number, or one indicator a class (one alone where there are two)."""
    if _is_number(target):
        return [target.cast(pl.Float64).to_numpy()]
    levels = target.unique().sort()
    if not 2 <= len(levels) <= MOST_CLASSES:
        return []
    return [(target == level).cast(pl.Float64).to_numpy() for level in levels[int(len(levels) == 2) :]]


def _look(column: pl.Series) -> Look:
    if column.dtype in {pl.String(), pl.Boolean()}:
        return Look.levels(column.name, column.rank("dense").cast(pl.Float64).fill_null(float("nan")).to_numpy())
    return Look.numbers(column.name, column.to_physical().cast(pl.Float64).fill_null(float("nan")).to_numpy())


def _guesses(leaves: Leaves, truth: Floats) -> tuple[Floats, Floats, Floats]:
    """Rows, sum of the truth, and guess of each leaf in each half of the rows; the other half's mean, shrunk."""
    half = np.random.default_rng(0).integers(0, 2, len(leaves))
    cells = 2 * leaves + half
    size = 2 * (int(leaves.max()) + 1)
    counts = np.bincount(cells, minlength=size).reshape(-1, 2).astype(np.float64)
    sums = np.bincount(cells, truth, minlength=size).reshape(-1, 2).astype(np.float64)
    overall = sums.sum(axis=0) / np.maximum(1, counts.sum(axis=0))
    guesses = ((sums + SHRINK_ROWS * overall) / (counts + SHRINK_ROWS))[:, ::-1]
    return counts.ravel(), sums.ravel(), guesses.ravel()


def _r2(leaves: Leaves, truth: Floats) -> float:
    counts, sums, guesses = _guesses(leaves, truth)
    spread = float(np.sum((truth - truth.mean()) ** 2))
    missed = float(np.sum(truth**2) - 2 * np.sum(guesses * sums) + np.sum(counts * guesses**2))
    return 1.0 - missed / spread if spread > 0 else 0.0


def _auc(leaves: Leaves, truth: Floats) -> float:
    """Area under the ROC curve when rows are ordered by their guess; ties of one leaf count half."""
    counts, sums, guesses = _guesses(leaves, truth)
    order = np.argsort(guesses)
    ones, zeros = sums[order], (counts - sums)[order]
    total = ones.sum() * zeros.sum()
    before = np.cumsum(zeros) - zeros
    return float(np.sum(ones * (before + zeros / 2)) / total) if total > 0 else 0.0
