"""The declaration: read, written back, and every refusal names its key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadModelSpec
from appliance.model_spec import (
    ModelSpec,
    Threshold,
    dump_spec,
    load_spec,
    parse_spec,
    require_params,
    require_sound,
)  # fmt: skip
from appliance.schema import Kind, Task

LEAST = 'name = "m"\ndataset = "d"\ntarget = "y"\n'


def test_the_least_declaration_has_the_defaults() -> None:
    assert parse_spec(LEAST) == ModelSpec(name="m", dataset="d", target="y")
    assert parse_spec(LEAST).window_s == 86_400


TEXT = st.text(max_size=8, alphabet=st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(0, 1), st.text("ab"))


@given(
    target=TEXT.filter(bool),
    exclude=st.lists(TEXT),
    columns=st.dictionaries(TEXT, st.sampled_from(Kind)),
    params=st.dictionaries(st.just("alpha"), VALUES),
)
def test_what_is_written_is_read_back(
    target: str, exclude: list[str], columns: dict[str, Kind], params: dict[str, float | str]
) -> None:
    free = {name: kind for name, kind in columns.items() if name != target and name not in exclude}
    spec = ModelSpec(
        name="m", dataset="d", target=target, exclude=tuple(name for name in exclude if name != target),
        columns=free, params=params, task=Task.BINARY, schedule="0 3 * * 1", deploy="auto", seed=0,
    )  # fmt: skip
    assert parse_spec(dump_spec(spec)) == spec


def test_every_key_is_read_back_as_it_was_written() -> None:
    spec = ModelSpec(
        name="m", dataset="d", target="y", group="g", split_by="group", cv=5, encode={"at": "calendar"}, budget="best",
        trials=7, time_limit="30m", monotone={"x": -1}, weight="w", class_weights={"a": 1.0, "b": 2.5},
        intervals=(0.1, 0.9), calibrate=False, threshold=Threshold(goal="cost", false_positive=1, false_negative=5),
        metric="auc", protected=("sex",), purpose='to "know"', owner="lab", early_stopping=10,
    )  # fmt: skip
    assert parse_spec(dump_spec(spec)) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not valid TOML"),
        ('name = "m"\ndataset = "d"', "missing required field `target`"),
        (LEAST + "holdout = 0.9", "key 'holdout'"),
        (LEAST + "colour = 1", "unknown field `colour`"),
        (LEAST + 'task = "ranking"', "key 'task'"),
        (LEAST + 'window = "soon"', "key 'window'"),
        (LEAST + 'schedule = "daily"', "key 'schedule': 'daily' has 1 fields, not five"),
        (LEAST + 'exclude = ["y"]', "holds the target"),
        (LEAST + 'time = "y"', "is the target"),
        (LEAST + '[columns]\ny = "number"', "is no input"),
        (LEAST + "[params]\nnum_threads = 9", "num_threads"),
        (LEAST + "[params]\nis_unbalance = true", "is_unbalance"),
        (LEAST + 'group = "y"', "key 'group': 'y' is the target"),
        (LEAST + 'group = "g"\nsplit = "s"', "keys 'split' and 'group' exclude each other"),
        (LEAST + 'split_by = "column"', "needs the key 'split'"),
        (LEAST + "cv = 1", "one fold is none"),
        (LEAST + "intervals = [0.9, 0.1]", "two rising quantiles"),
        (LEAST + "[monotone]\nx = 2", "key 'monotone"),
        (LEAST + '[threshold]\ngoal = "recall"', "goal 'recall' takes precision, but none is given"),
        (LEAST + '[threshold]\ngoal = "f1"\nat = 0.3', "takes no further key, but at is given"),
        (LEAST + "is_unbalance = true\n[class_weights]\na = 2.0", "exclude each other"),
        (LEAST + 'early_stopping = 0\nbudget = "better"', "a search needs it"),
        (LEAST + 'metric = "gini"', "key 'metric'"),
        (
            LEAST + 'metric = "auc"\ntask = "regression"',
            "'auc' does not measure a regression task; use one of rmse, mae",
        ),
        (LEAST.replace('"m"', '"My Model"'), "key 'name'"),
    ],
)
def test_refusals_name_the_key(text: str, message: str) -> None:
    with pytest.raises(BadModelSpec) as refused:
        parse_spec(text, origin="model.toml")
    assert message in str(refused.value)
    assert "model.toml" in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadModelSpec, match="cannot read the model file"):
        load_spec(tmp_path / "nope.toml")


@pytest.mark.parametrize(
    "main", ["num_iterations", "early_stopping_round", "objective", "metric", "seed", "num_class", "task",
             "is_unbalance", "monotone_constraints", "categorical_feature", "num_threads"]
)  # fmt: skip
def test_no_name_of_lightgbm_stands_for_a_key_of_the_declaration(main: str) -> None:
    from lightgbm.basic import _ConfigAliases

    for name in sorted(_ConfigAliases.get(main)):
        spec = ModelSpec(name="m", dataset="d", target="y", params={name: 5})
        with pytest.raises(BadModelSpec, match=rf"key 'params': {name}\b"):
            require_sound(spec)
            require_params(spec)


def test_a_stored_declaration_of_an_earlier_release_is_read_and_refused_where_it_is_used() -> None:
    spec = parse_spec(LEAST + "[params]\nn_estimators = 400\nloss = 'mae'\nrandom_seed = 3\nmax_depth = 4")
    with pytest.raises(BadModelSpec) as refused:
        require_params(spec)
    said = str(refused.value)
    for part in ("n_estimators (say it with 'rounds')", "loss (say it with 'task')", "random_seed (say it with 'seed'"):
        assert part in said
    assert "max_depth" not in said
    require_params(parse_spec(LEAST + "[params]\nmax_depth = 4\nlinear_tree = true"))
