"""Columns together: silent on shuffled real rows, loud when their combination is new though each looks as ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import ndcg_score

from appliance.monitoring.compare import compare_frames
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.studies.attribution import ndcg
from appliance.studies.multivariate import MIN_ROWS, reconstruct, tell_apart
from appliance.training.encode import encode_frame

Floats = NDArray[np.float64]

NAMES = ("age", "workclass", "education", "education_num", "marital_status", "relationship", "sex", "hours_per_week")


@pytest.fixture(scope="module")
def adult() -> pl.DataFrame:
    frame = pl.read_parquet(Path(__file__).parents[1] / "data/adult.parquet").select(NAMES)
    return frame.sample(fraction=1.0, shuffle=True, seed=1)


def columns_of(frame: pl.DataFrame) -> tuple[Column, ...]:
    return tuple(
        Column(name=name, kind=Kind.CATEGORY, levels=tuple(frame[name].drop_nulls().unique().sort().to_list()))
        if frame[name].dtype == pl.String
        else Column(name=name, kind=Kind.NUMBER)
        for name in frame.columns
    )


def encode(frame: pl.DataFrame, columns: tuple[Column, ...]) -> Floats:
    schema = FeatureSchema(model="m", version=1, task=Task.REGRESSION, target="y", columns=columns)
    encoded: Floats = encode_frame(frame, schema).to_numpy()
    return encoded


def test_shuffled_real_rows_are_silent(adult: pl.DataFrame) -> None:
    columns = columns_of(adult)
    rows = encode(adult, columns)
    alarms = 0
    for seed in range(10):
        chosen = np.random.default_rng(seed).permutation(len(rows))
        before, after = rows[chosen[:3_000]], rows[chosen[3_000 : 3_000 + (500, 3_000)[seed % 2]]]
        domain = tell_apart(before, after, columns)
        assert domain is not None
        assert not domain.drifted
        assert abs(domain.area - 0.5) < 0.06
        pca = reconstruct(before, after, columns)
        assert pca is not None
        alarms += pca.drifted
    assert alarms == 0


def test_a_new_combination_is_found_though_each_column_looks_as_ever(adult: pl.DataFrame) -> None:
    columns = columns_of(adult)
    before = adult[:4_000]
    after = adult[4_000:8_000].with_columns(
        pl.col("relationship").shuffle(seed=2), pl.col("education_num").shuffle(seed=3)
    )
    assert compare_frames(before, after).dataset.drifted == ()
    domain = tell_apart(encode(before, columns), encode(after, columns), columns)
    pca = reconstruct(encode(before, columns), encode(after, columns), columns)
    assert domain is not None
    assert pca is not None
    assert domain.drifted
    assert domain.area > 0.9
    assert {"relationship", "education_num", "education", "marital_status", "sex"} & set(domain.columns)
    assert pca.drifted
    assert pca.error > pca.high


def test_the_classifier_names_the_column(adult: pl.DataFrame) -> None:
    columns = columns_of(adult)
    after = encode(adult[2_000:4_000].with_columns(pl.col("age") + 15), columns)
    before = encode(adult[:2_000], columns)
    one = tell_apart(before, after, columns)
    assert one is not None
    assert next(iter(one.columns)) == "age"
    assert tell_apart(before, after, columns) == one, "the same rows give the same answer"


def test_odd_rows_do_not_break_a_study(adult: pl.DataFrame) -> None:
    columns = columns_of(adult)
    rows = encode(adult[:1_000], columns)
    assert tell_apart(rows[: MIN_ROWS - 1], rows, columns) is None
    assert reconstruct(rows, rows[: MIN_ROWS - 1], columns) is None
    assert reconstruct(rows, rows, ()) is None
    empty = rows.copy()
    empty[:, 0] = np.nan  # a column without a value
    empty[:, 1] = -1  # categories that training never saw
    for one, other in ((rows, empty), (empty, rows), (empty, empty)):
        pca = reconstruct(one, other, columns)
        domain = tell_apart(one, other, columns)
        assert pca is not None
        assert domain is not None
        assert np.isfinite([pca.error, pca.low, pca.high, domain.area]).all()


def test_the_components_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2_000, 3)) @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(2_000, 6))
    columns = tuple(Column(name=f"c{i}", kind=Kind.NUMBER) for i in range(6))
    current = rows[:700] * 1.3
    ours = reconstruct(rows, current, columns)
    assert ours is not None
    half = rows[np.random.default_rng(0).permutation(2_000) % 2 == 0]
    mean, scale = half.mean(axis=0), half.std(axis=0)
    pca = PCA(n_components=0.65, svd_solver="full").fit((half - mean) / scale)
    standard = (current - mean) / scale
    rest = standard - pca.inverse_transform(pca.transform(standard))
    assert ours.error == pytest.approx(float(np.linalg.norm(rest, axis=1).mean()), rel=1e-9)


def test_ndcg_is_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        before, after = rng.random(9), rng.random(9)
        assert ndcg(before, after) == pytest.approx(ndcg_score(before[None], after[None]), abs=1e-12)
    assert ndcg(before, before) == pytest.approx(1.0)
