"""What is odd about a target: rows without a label, classes that are rare, alike or on one side of the split."""

from __future__ import annotations

import numpy as np

from appliance.errors import BadTable
from appliance.model_card import Warn
from appliance.model_spec import ModelSpec
from appliance.schema import Task
from appliance.training.split import Split
from appliance.training.target import Target, rounding_share

MOST_ROUNDED = 0.01
"""A target of which LightGBM rounds off a larger share of the spread is warned about."""

RARE = 0.05
"""A binary target whose rarer class has a smaller share is imbalanced."""

FEW_OF_A_CLASS = 5
"""With fewer rows a class has none, or next to none, on one side of a split or in a fold."""

MOST_NAMED = 3
"""Classes that a sentence names."""

SMALL_SHARE = 0.01


def warn_of_target(spec: ModelSpec, target: Target, split: Split) -> tuple[Warn, ...]:
    """What a person should look at, in the order in which it is told.

    Raises:
        BadTable: The training rows are of one class.
    """
    return (
        *_missing_labels(target), *_alike(target), *_rounded(target), *_one_sided(target, split),
        *_few_of_a_class(spec, target, split), *_imbalanced(spec, target),
    )  # fmt: skip


def _few_of_a_class(spec: ModelSpec, target: Target, split: Split) -> tuple[Warn, ...]:
    """Classes of so few rows that not every side of the split, or fold, has some to learn from and to be judged by."""
    if target.task is Task.REGRESSION:
        return ()
    classes = len(target.classes)
    rows, held = (
        np.bincount(values.astype(np.int64), minlength=classes)
        for values in (target.values, target.values[split.holdout])
    )
    few = np.flatnonzero((rows < FEW_OF_A_CLASS) | (rows - held < spec.cv))
    if not len(few):
        return ()
    told = [
        f"{target.classes[at]!r} ({rows[at]} {'row' if rows[at] == 1 else 'rows'}, {held[at]} of them held out)"
        for at in few[np.argsort(rows[few], kind="stable")][:MOST_NAMED]
    ]
    more = f" and {len(few) - MOST_NAMED} more" if len(few) > MOST_NAMED else ""
    is_short = bool((rows - held < spec.cv)[few].any())
    folds = f", and not every one of the {spec.cv} folds has one" if is_short else ""
    message = (
        f"too few rows of {target.name!r} are {', '.join(told)}{more}: what is learned of such a class, and what the "
        f"metrics say of it, is chance{folds}; add rows of it, make it one with another class, or take its rows out "
        "with --prepare"
    )
    return (Warn(column=target.name, code="few_of_a_class", message=message),)


def _missing_labels(target: Target) -> tuple[Warn, ...]:
    missing = int((~target.labelled).sum())
    if not missing:
        return ()
    message = f"{missing} of {len(target.labelled)} rows have no {target.name!r} and do not train"
    return (Warn(column=target.name, code="unlabelled", message=message),)


def _alike(target: Target) -> tuple[Warn, ...]:
    """Classes that are one for a person: ``yes``, ``Yes`` and ``yes`` with a blank behind it."""
    same: dict[str, list[str]] = {}
    for name in target.classes:
        same.setdefault(" ".join(name.casefold().split()), []).append(name)
    told = "; ".join(", ".join(map(repr, names)) for names in same.values() if len(names) > 1)
    if not told:
        return ()
    message = (
        f"classes of {target.name!r} differ only in blanks or capitals ({told}), so that the model tells apart what "
        "may be the same; make them one with --prepare, trim and lower"
    )
    return (Warn(column=target.name, code="alike_classes", message=message),)


def _rounded(target: Target) -> tuple[Warn, ...]:
    if target.task is not Task.REGRESSION or (share := rounding_share(target.values)) <= MOST_ROUNDED:
        return ()
    message = (
        f"LightGBM keeps 7 digits of a target: of {target.name!r} it rounds off {share:.0%} of the spread, which no "
        "model can learn then; subtract a constant near its mean with a query, and add it to what is predicted"
    )
    return (Warn(column=target.name, code="rounded", message=message),)


def _one_sided(target: Target, split: Split) -> tuple[Warn, ...]:
    """Classes that only one side of the split has.

    Raises:
        BadTable: The training rows are of one class.
    """
    if target.task is Task.REGRESSION:
        return ()
    learned, judged = (
        set(np.unique(target.values[side]).astype(int).tolist()) for side in (split.trained_on, split.holdout)
    )
    if len(learned) < 2:
        raise BadTable(
            f"every row that trains is {target.classes[learned.pop()]!r}: the other classes of {target.name!r} are "
            f"held out ({split.sentence}); add rows, or split them otherwise (split_by = 'random')"
        )
    warnings = []
    for where, there, missing in (("trains", judged, judged - learned), ("is held out", learned, learned - judged)):
        names = ", ".join(repr(target.classes[at]) for at in sorted(missing & there))
        if names:
            message = f"no row of {target.name!r} that {where} is {names}; the metrics say nothing useful about it"
            warnings.append(Warn(column=target.name, code="one_sided", message=message))
    return tuple(warnings)


def _share(share: float) -> str:
    """As percent, with as many digits as a small one needs: 0.031%, not 0.0%."""
    return f"{share:.1%}" if share >= SMALL_SHARE else f"{share * 100:.2g}%"


def _imbalanced(spec: ModelSpec, target: Target) -> tuple[Warn, ...]:
    """A rare class, and what serves it: a threshold. ``is_unbalance`` ranks rows worse, the more so the rarer it is.

    AUC without and with it, trained on fewer and fewer rows of the rarer class, two draws of AI4I's machine failures:
    0.98 and 0.97 at 3 % (209 rows), 0.94 and 0.91 at 1 % (68), 0.92 and 0.57 at 0.3 % (20); one of Adult's incomes:
    0.92 and 0.90 at 5 % (1,364), 0.91 and 0.87 at 2 %, 0.89 and 0.83 at 0.5 %, 0.85 and 0.34 at 0.1 % (26). The log
    loss was worse with it each time, and F1 at a threshold for it better by more than 0.03 once, with 20 rows.
    """
    is_served = spec.threshold is not None and not spec.is_unbalance
    if target.task is not Task.BINARY or spec.class_weights or is_served:
        return ()
    share = float(target.values.mean())
    rarer = min(share, 1.0 - share)
    if rarer >= RARE:
        return ()
    name = target.classes[1] if share <= 0.5 else target.classes[0]
    told = (
        "is_unbalance = true makes the order of the rows worse where a class is so rare (an AUC of 0.83 where it was "
        "0.89 without, of 1 row in 200): take it out, and declare a [threshold] goal"
        if spec.is_unbalance
        else "accuracy says little then, and a threshold of 0.5 may never give it: declare a [threshold] goal (f1, "
        "recall or cost)"
    )
    message = f"only {_share(rarer)} of the rows are {name!r}; {told}"
    return (Warn(column=target.name, code="imbalanced", message=message),)
