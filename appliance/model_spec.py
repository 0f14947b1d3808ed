"""A model's declaration: what it learns from which dataset, read from and written as TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from appliance.cron import require_cron
from appliance.errors import BadModelSpec
from appliance.schema import Kind, Task
from storage.toml_text import toml_value

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Names of models and datasets: they are folders and parts of URLs."""

WINDOW = r"^[1-9][0-9]{0,4}[mhd]$"
"""A length of time: a number and m, h or d."""

Encoding = Literal["calendar", "seconds", "levels", "target"]
"""How a column becomes what LightGBM sees."""

TRIALS = {"better": 25, "best": 100}
TIME_LIMIT = {"better": "30m", "best": "4h"}
"""What a budget allows where the declaration says nothing."""

Metric = Literal[
    "rmse", "mae", "r2", "auc", "average_precision", "log_loss", "brier", "accuracy", "f1", "macro_f1"
]  # fmt: skip
"""What versions can be compared by."""

MEASURES: Mapping[Task, tuple[Metric, ...]] = {
    Task.REGRESSION: ("rmse", "mae", "r2"),
    Task.BINARY: ("auc", "average_precision", "log_loss", "brier", "accuracy", "f1"),
    Task.MULTICLASS: ("log_loss", "accuracy", "macro_f1"),
}
"""Which of them measure a task; the first is what it is compared by where nothing is declared."""

_SECONDS = {"m": 60, "h": 3600, "d": 86400}

OWN_PARAMS = frozenset(
    {
        "categorical_feature", "class_weight", "data", "deterministic", "device", "device_type", "force_col_wise",
        "force_row_wise", "input_model", "is_unbalance", "metric", "monotone_constraints", "n_jobs", "nthread",
        "num_class", "num_threads", "num_thread", "objective", "output_model", "random_state", "seed", "task", "valid",
    }
)  # fmt: skip
"""LightGBM parameters that follow from the rest of the declaration, so that it may not set them."""


INSTEAD: Mapping[str, frozenset[str]] = {
    "'rounds'": frozenset(
        {
            "max_iter", "n_estimators", "n_iter", "nrounds", "num_boost_round", "num_iteration", "num_iterations",
            "num_round", "num_rounds", "num_tree", "num_trees",
        }
    ),
    "'early_stopping'": frozenset(
        {
            "early_stopping", "early_stopping_min_delta", "early_stopping_round", "early_stopping_rounds",
            "first_metric_only", "n_iter_no_change",
        }
    ),
    "'task'": frozenset({"app", "application", "loss", "num_classes", "objective_type", "task_type"}),
    "'metric'": frozenset({"metric_types", "metrics"}),
    "'seed'": frozenset({"random_seed"}),
    "'is_unbalance'": frozenset({"unbalance", "unbalanced_sets"}),
    "'monotone'": frozenset({"mc", "monotone_constraint", "monotonic_cst"}),
    "[columns]": frozenset({"cat_column", "cat_feature", "categorical_column", "categorical_features"}),
    "the setting training_threads": frozenset({"nthreads"}),
}  # fmt: skip
"""What a declaration says instead of LightGBM parameters that a training overrules, or that overrule it unseen. Those
in ``OWN_PARAMS`` are refused wherever a declaration is read; these where it is applied and trained, since declarations
that name them lie in the states of earlier releases."""


class Threshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the probability from which the positive class is given is chosen, on rows not used to fit.

    Attributes:
        goal: ``f1``: the highest F1; ``recall``: the most recall at ``precision`` or more; ``cost``: the least cost by
            ``false_positive`` and ``false_negative``; ``fixed``: ``at``.
        precision: For ``recall``, in (0, 1].
        false_positive: For ``cost``: of one wrong alarm, in any unit.
        false_negative: For ``cost``: of one miss, in the same unit.
        at: For ``fixed``, in [0, 1].
    """

    goal: Literal["f1", "recall", "cost", "fixed"]
    precision: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] | None = None
    false_positive: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    false_negative: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    at: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None


GOAL_NEEDS = {
    "f1": (), "recall": ("precision",), "cost": ("false_positive", "false_negative"), "fixed": ("at",),
}  # fmt: skip
"""Goal of a threshold to the keys it needs, all of them and no others."""


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model, as declared; ``None`` and empty mean: find out from the data.

    Attributes:
        task: None: from the target's values.
        metric: What versions are compared by on the holdout, one that measures the task; None: rmse, auc or log_loss.
            The fit itself lowers the task's loss.
        time: The column that orders the rows; None: the date column with the most distinct dates, else the text column
            of dates that has them. It is an input only if ``columns`` declares it a datetime.
        group: The column that says which entity a row is about; no entity is on both sides of the split.
        split: A column of the user's own that says train, valid or test; rows without a word train.
        split_by: Overrides what decides the split; None: ``split``, ``group``, time, an inferred group, else at random.
        cv: Folds of a cross-validation of the training rows beside the holdout; 0: none.
        exclude: Columns that are not known when we predict, or must not be used.
        columns: Kinds that override the ones read off the column types.
        encode: How a column becomes what LightGBM sees, beside what is decided by itself: ``calendar`` or ``seconds``
            for a datetime, ``levels`` or ``target`` for a category.
        params: LightGBM parameters beside the defaults; none for which the declaration has a key (``INSTEAD``).
        budget: ``quick``: good defaults; ``better``: 25 trials; ``best``: 100 trials of a search over the parameters.
        trials: Most trials of the search; None: as the budget says.
        time_limit: The search starts no trial after so long, such as ``30m``; a search that it ended depends on the
            host's speed.
        monotone: Column to 1 (the output never falls when it rises) or -1.
        weight: A column of each row's weight, at least 0, missing is 1; no input.
        class_weights: Class to the weight of its rows; those of a class that is not named weigh 1.
        is_unbalance: Binary: both classes weigh the same in sum. Probabilities are then calibrated or wrong, and rows
            are ranked worse where a class is rare: ``threshold`` serves that.
        intervals: Regression: two quantiles, such as ``[0.1, 0.9]``, whose models are fitted beside.
        calibrate: Classes: calibrate the probabilities where that lowers the log loss on rows not used to fit.
        threshold: Binary: how the served threshold is chosen; None: 0.5.
        protected: Columns by whose groups fairness is reported, inputs or not.
        purpose: What the model is for; for its card.
        owner: Who answers for it; for its card.
        rounds: Most boosting rounds; early stopping usually ends sooner.
        early_stopping: Rounds without an improvement on the early-stopping rows before the fit ends; 0: exactly
            ``rounds`` are fitted, once, on all training rows; nothing is calibrated then.
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
    metric: Metric | None = None
    time: str | None = None
    group: str | None = None
    split: str | None = None
    split_by: Literal["time", "group", "column", "random"] | None = None
    cv: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0
    exclude: tuple[str, ...] = ()
    columns: Mapping[str, Kind] = msgspec.field(default_factory=dict)
    encode: Mapping[str, Encoding] = msgspec.field(default_factory=dict)
    params: Mapping[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    budget: Literal["quick", "better", "best"] = "quick"
    trials: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    time_limit: Annotated[str, msgspec.Meta(pattern=WINDOW)] | None = None
    monotone: Mapping[str, Literal[-1, 1]] = msgspec.field(default_factory=dict)
    weight: str | None = None
    class_weights: Mapping[str, Annotated[float, msgspec.Meta(gt=0.0)]] = msgspec.field(default_factory=dict)
    is_unbalance: bool = False
    intervals: tuple[float, ...] = ()
    calibrate: bool = True
    threshold: Threshold | None = None
    protected: tuple[str, ...] = ()
    purpose: str = ""
    owner: str = ""
    rounds: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    early_stopping: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 50
    holdout: Annotated[float, msgspec.Meta(gt=0.0, le=0.5)] = 0.2
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 1
    deploy: Literal["auto", "manual"] = "manual"
    window: Annotated[str, msgspec.Meta(pattern=WINDOW)] = "24h"
    schedule: str | None = None

    @property
    def window_s(self) -> int:
        """The default monitoring window, seconds."""
        return seconds_of(self.window)

    @property
    def named_columns(self) -> tuple[tuple[str, str], ...]:
        """``(key, column)`` of every column the declaration names, but the target."""
        single = {"time": self.time, "group": self.group, "split": self.split, "weight": self.weight}
        several = {
            "exclude": self.exclude, "columns": self.columns, "encode": self.encode, "monotone": self.monotone,
            "protected": self.protected,
        }  # fmt: skip
        return (
            *((key, name) for key, name in single.items() if name is not None),
            *((key, name) for key, names in several.items() for name in names),
        )

    @property
    def no_inputs(self) -> frozenset[str]:
        """Columns that have another part: the target, the excluded, split and weight."""
        return frozenset({self.target, *self.exclude, *filter(None, (self.split, self.weight))})


def seconds_of(window: str) -> int:
    """Seconds of a length of time such as ``24h``."""
    return int(window[:-1]) * _SECONDS[window[-1]]


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
    _require_columns(spec, origin)
    _require_split(spec, origin)
    _require_outputs(spec, origin)
    if wrong := sorted(OWN_PARAMS & set(spec.params)):
        raise BadModelSpec(
            f"{origin}: key 'params': {', '.join(wrong)} follow(s) from the task, the seed, this host or a key of "
            "the declaration's own (is_unbalance, class_weights, monotone); leave out"
        )
    if spec.schedule is not None:
        try:
            require_cron(spec.schedule)
        except ValueError as exc:
            raise BadModelSpec(f"{origin}: key 'schedule': {exc}; '0 3 * * 1' is Mondays at three, UTC") from exc


def require_params(spec: ModelSpec) -> None:
    """Check that no LightGBM parameter stands for a key of the declaration.

    Raises:
        BadModelSpec: One does; the key is named.
    """
    wrong = {key: sorted(names & set(spec.params)) for key, names in INSTEAD.items() if names & set(spec.params)}
    if wrong:
        said = ", ".join(f"{', '.join(names)} (say it with {key})" for key, names in wrong.items())
        raise BadModelSpec(
            f"model {spec.name!r}: key 'params': {said} would be ignored by a training, or defeat early stopping; "
            "take out of [params]"
        )


def _require_columns(spec: ModelSpec, origin: str) -> None:
    if spec.target in spec.exclude:
        raise BadModelSpec(f"{origin}: key 'exclude' holds the target {spec.target!r}; take it out there")
    if spec.time == spec.target:
        raise BadModelSpec(f"{origin}: key 'time': {spec.time!r} is the target; name the column that orders the rows")
    for column in spec.columns:
        if column == spec.target or column in spec.exclude:
            raise BadModelSpec(f"{origin}: key 'columns': {column!r} is no input (the target, or excluded)")
    for key, column in spec.named_columns:
        if key != "exclude" and column == spec.target:
            raise BadModelSpec(f"{origin}: key '{key}': {column!r} is the target; name another column")


def _require_split(spec: ModelSpec, origin: str) -> None:
    needs = {"group": spec.group, "column": spec.split}
    if spec.split is not None and spec.group is not None and spec.split_by is None:
        raise BadModelSpec(f"{origin}: keys 'split' and 'group' exclude each other; leave one out, or set split_by")
    if spec.split_by == "column" and needs["column"] is None:
        raise BadModelSpec(f"{origin}: key 'split_by': 'column' needs the key 'split', the column's name")
    if spec.early_stopping == 0 and spec.budget != "quick":
        raise BadModelSpec(f"{origin}: key 'early_stopping': a search needs it; use 1 or more, or budget = 'quick'")
    if spec.cv == 1:
        raise BadModelSpec(f"{origin}: key 'cv': one fold is none; use 2 to 20, or 0 for no cross-validation")


def _require_outputs(spec: ModelSpec, origin: str) -> None:
    if spec.task is not None and spec.metric is not None and spec.metric not in MEASURES[spec.task]:
        raise BadModelSpec(
            f"{origin}: key 'metric': {spec.metric!r} does not measure a {spec.task.value} task; use one of "
            f"{', '.join(MEASURES[spec.task])}"
        )
    if spec.is_unbalance and spec.class_weights:
        raise BadModelSpec(f"{origin}: keys 'is_unbalance' and 'class_weights' exclude each other; leave one out")
    if spec.intervals and not (len(spec.intervals) == 2 and 0.0 < spec.intervals[0] < spec.intervals[1] < 1.0):
        raise BadModelSpec(f"{origin}: key 'intervals': two rising quantiles between 0 and 1, such as [0.1, 0.9]")
    if spec.threshold is None:
        return
    needed = GOAL_NEEDS[spec.threshold.goal]
    given = tuple(
        field for field in ("precision", "false_positive", "false_negative", "at")
        if getattr(spec.threshold, field) is not None
    )  # fmt: skip
    if set(needed) != set(given):
        raise BadModelSpec(
            f"{origin}: key 'threshold': goal {spec.threshold.goal!r} takes {' and '.join(needed) or 'no further key'}"
            f", but {', '.join(given) or 'none'} is given"
        )


def dump_spec(spec: ModelSpec) -> str:
    """The declaration as TOML; what is at its default is left out. ``parse_spec`` reads it back."""
    lines: list[str] = []
    tables: list[str] = []
    for field in msgspec.structs.fields(ModelSpec):
        value = getattr(spec, field.name)
        default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        if value is None or value == default:
            continue
        if isinstance(value, Threshold):
            value = {key: item for key, item in msgspec.structs.asdict(value).items() if item is not None}
        if isinstance(value, Mapping):
            tables += [
                "",
                f"[{field.name}]",
                *(f"{toml_value(key)} = {toml_value(item)}" for key, item in value.items()),
            ]
        else:
            lines.append(f"{field.name} = {toml_value(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _explain(message: str) -> str:
    """Msgspec's message with the key first: ``Expected `str`, got `int` - at `$.target```."""
    found = re.fullmatch(r"(.*) - at `\$\.?(.*)`", message)
    if not found:
        return message
    what, key = found.groups()
    return f"key '{key}': {what}" if key else what
