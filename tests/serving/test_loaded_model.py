from __future__ import annotations

from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import pytest

from appliance.errors import BundleRefused
from appliance.schema import Task
from appliance.serving.lightgbm_c import Booster, is_close
from appliance.serving.loaded_model import load_model
from storage.bundles import bundle_path
from storage.layout import Layout
from tests.model_bundles import MIXED_COLUMNS, bundle_files, numeric_columns, publish, sample_rows, train_model


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(root=tmp_path)
    found.create()
    return found


@pytest.mark.parametrize("task", list(Task))
def test_a_bundle_scores_as_lightgbm_does_one_row_or_many(layout: Layout, task: Task) -> None:
    trained = train_model("m", 1, task=task, columns=MIXED_COLUMNS)
    publish(layout, trained)
    loaded = load_model(layout, "m", 1)
    rows = sample_rows(MIXED_COLUMNS, 200)
    matrix = loaded.encoder.encode(rows).matrix
    expected = trained.expect(rows)
    raw = np.asarray(trained.booster.predict(matrix, raw_score=True, num_threads=1)).reshape(200, -1).tolist()
    flat = list(chain.from_iterable(expected)), list(chain.from_iterable(raw))
    assert loaded.score(matrix) == flat
    assert loaded.score(matrix, threads=2) == flat
    assert [loaded.score_one(row.tolist()) for row in matrix] == list(zip(expected, raw, strict=True))


@pytest.mark.parametrize("task", list(Task))
def test_contributions_and_base_add_up_to_the_raw_score(layout: Layout, task: Task) -> None:
    trained = train_model("m", 1, task=task, columns=MIXED_COLUMNS)
    publish(layout, trained)
    loaded = load_model(layout, "m", 1)
    matrix = loaded.encoder.encode(sample_rows(MIXED_COLUMNS, 20)).matrix
    raw = np.asarray(trained.booster.predict(matrix, raw_score=True)).reshape(20, -1)
    np.testing.assert_allclose(loaded.contributions(matrix).sum(axis=2), raw, rtol=1e-9, atol=1e-12)


def test_no_rows_give_no_outputs(layout: Layout) -> None:
    publish(layout, train_model("m", 1, task=Task.MULTICLASS, columns=numeric_columns(2)))
    assert load_model(layout, "m", 1).score(np.empty((0, 2))) == ([], [])


def test_a_bundle_that_is_absent_is_refused(layout: Layout) -> None:
    with pytest.raises(BundleRefused, match="no published version 7"):
        load_model(layout, "m", 7)


def test_a_changed_byte_is_refused(layout: Layout) -> None:
    publish(layout, train_model("m", 1, task=Task.BINARY, columns=numeric_columns(3)))
    path = bundle_path(layout, "m", 1) / "model.txt"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(BundleRefused, match=r"model\.txt differs from its manifest"):
        load_model(layout, "m", 1)


def test_golden_rows_that_score_otherwise_are_refused(layout: Layout) -> None:
    trained = train_model("m", 1, task=Task.BINARY, columns=numeric_columns(3))
    files = bundle_files(trained)
    golden = msgspec.json.decode(files["golden.json"])
    golden["outputs"][2][0] += 1e-9
    publish(layout, trained, {**files, "golden.json": msgspec.json.encode(golden)})
    with pytest.raises(BundleRefused, match="golden row 2 scores"):
        load_model(layout, "m", 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("golden.json", None, r"has no golden\.json"),
        ("golden.json", b"{", "cannot be read"),
        ("golden.json", b'{"rows":[],"outputs":[[1.0]]}', "0 rows but 1 outputs"),
        ("golden.json", b'{"rows":[{"c00":"x"}],"outputs":[[1.0]]}', "does not fit schema"),
        ("schema.json", b'{"model":"m"}', "cannot be read"),
        ("model.txt", b"pickle", "does not start as a LightGBM model"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(layout: Layout, name: str, content: bytes | None, message: str) -> None:
    trained = train_model("m", 1, task=Task.BINARY, columns=numeric_columns(3))
    files = {**bundle_files(trained), **({name: content} if content is not None else {})}
    if content is None:
        del files[name]
    publish(layout, trained, files)
    with pytest.raises(BundleRefused, match=message):
        load_model(layout, "m", 1)


def test_a_model_of_another_width_than_its_schema_is_refused(layout: Layout) -> None:
    narrow = train_model("m", 1, task=Task.BINARY, columns=numeric_columns(2))
    wide = train_model("m", 1, task=Task.BINARY, columns=numeric_columns(3))
    publish(layout, wide, {**bundle_files(wide), "model.txt": narrow.booster.model_to_string().encode()})
    with pytest.raises(BundleRefused, match=r"model\.txt has 2 columns, schema\.json 3"):
        load_model(layout, "m", 1)


def test_text_that_lightgbm_cannot_read_is_refused() -> None:
    with pytest.raises(BundleRefused, match="LightGBM cannot read"):
        Booster(b"tree\nnonsense")


@pytest.mark.parametrize(
    ("left", "right", "close"),
    [(1.0, 1.0 + 1e-13, True), (1.0, 1.0 + 1e-11, False), (0.0, 0.0, True), (float("nan"), float("nan"), True)],
)
def test_close_is_relative(left: float, right: float, close: bool) -> None:
    assert is_close(left, right) is close
