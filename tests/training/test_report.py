"""The evaluation beyond metrics, the card's page and its pictures. scikit-learn's figures are checked where named."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from scipy.stats import norm, sem

from appliance.card_figures import draw_figures
from appliance.card_page import render_card
from appliance.house import Appliance
from appliance.model_card import ModelCard
from appliance.model_evaluation import Segment
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.training.evaluate import area_under_roc, class_results
from appliance.training.fairness import compare_errors, compare_groups, group_codes, group_names, wilson
from appliance.training.report import (
    Held,
    binned,
    confusion,
    cuts,
    histogram,
    roc_curve,
    row_losses,
    with_curves,
    worst_slices,
)
from appliance.training.rows import EncodedRows
from appliance.training.table import Table
from tests.cli.shell import Shell
from tests.training.rows import BIKE, adults, bikes, fit, made_up, penguins, spec
from tests.training.state import add, new_appliance, train_now

RNG = np.random.default_rng(0)


def test_a_wilson_interval_is_the_published_one() -> None:
    found = wilson(81, 263)  # Newcombe (1998), table I: 0.3080, 0.2553 to 0.3662
    assert (found.value, found.low, found.high) == pytest.approx((0.3080, 0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 10).low == 0.0
    assert wilson(0, 0).value is None


def test_the_area_under_the_drawn_roc_is_the_auc() -> None:
    truth = (RNG.random(5000) < 0.3).astype(np.float64)
    score = truth * 0.5 + RNG.random(5000)
    curve = roc_curve(truth, score)
    assert curve is not None
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(area_under_roc(truth, score), abs=0.002)
    assert roc_curve(np.ones(10), np.ones(10)) is None


def test_confusion_and_class_results_count_the_same_rows() -> None:
    truth, answers = np.array([0.0, 0, 1, 1, 1, 2]), np.array([0.0, 1, 1, 1, 0, 1])
    assert confusion(truth, answers, 3) == ((1, 1, 0), (1, 2, 0), (0, 1, 0))
    first, second, third = class_results(truth, answers, ("a", "b", "c"))
    assert (first.precision, first.recall, second.precision, second.recall) == (0.5, 0.5, 0.5, 2 / 3)
    assert (third.precision, third.recall, third.f1) == (None, 0.0, 0.0)


def test_every_cut_counts_each_row_once_and_the_served_one_is_the_confusion_matrix() -> None:
    truth = (RNG.random(500) < 0.1).astype(np.float64)
    score = np.clip(truth * 0.2 + RNG.random(500) * 0.5, 0, 1)
    found = cuts(truth, score, 0.3217)
    assert all(one.true_positive + one.false_positive + one.false_negative + one.true_negative == 500 for one in found)
    assert (found[0].threshold, found[0].recall, found[-1].precision) == (0.0, 1.0, None)
    (served,) = [one for one in found if one.threshold == 0.3217]
    ((tn, fp), (fn, tp)) = confusion(truth, (score >= 0.3217).astype(np.float64), 2)
    counted = (served.true_negative, served.false_positive, served.false_negative, served.true_positive)
    assert counted == (tn, fp, fn, tp)
    positive = class_results(truth, (score >= 0.3217).astype(np.float64), ("no", "yes"))[1]
    assert (served.precision, served.recall) == (positive.precision, positive.recall)
    assert served.f1 == pytest.approx(positive.f1)


def test_a_histogram_holds_every_row_and_a_constant_one_too() -> None:
    assert sum(histogram(RNG.normal(size=1000)).y) == 1000
    assert sum(histogram(np.zeros(10)).y) == 10
    assert len(binned(np.array([1.0, 2.0]), np.array([1.0, 2.0])).x) == 2


def test_adults_show_the_four_fifths_rule_broken_by_sex_and_small_groups_are_not_compared() -> None:
    model = fit(spec("income", split="split", protected=("sex", "race")), adults())
    found = model.evaluation
    assert found is not None
    by_sex = next(one for one in found.fairness if one.column == "sex")
    assert by_sex.flagged
    assert by_sex.ratio is not None
    assert by_sex.ratio < 0.5  # of the labels it is 0.36
    for group in by_sex.groups:
        share = group.selected
        assert share.low is not None
        assert share.value is not None
        assert share.high is not None
        assert share.low < share.value < share.high
    assert sum(sum(row) for row in found.confusion) == len(model.split.holdout)
    assert sum(one.share for one in found.contributions) == pytest.approx(1.0)


def test_small_groups_are_shown_and_not_compared() -> None:
    column = pl.Series("g", ["a"] * 150 + ["b"] * 150 + ["c"] * 20)
    given = np.array([True] * 75 + [False] * 75 + [True] * 60 + [False] * 90 + [True] * 20)
    found = compare_groups(column, given, given)
    assert [group.judged for group in found.groups] == [True, True, False]
    assert found.ratio == pytest.approx(0.8)
    assert not found.flagged
    lonely = compare_groups(column.head(160), given[:160], given[:160])
    assert lonely.ratio is None
    assert "not compared" in lonely.sentence


@pytest.mark.parametrize("name", ["count", "group"])
def test_a_protected_column_may_have_any_name(name: str) -> None:
    column = pl.Series(name, ["a"] * 150 + ["b"] * 160)
    given = np.arange(310) % 2 == 0
    assert [group.rows for group in compare_groups(column, given, given).groups] == [160, 150]
    assert [group.rows for group in compare_errors(column, np.ones(310)).groups] == [160, 150]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("few", [3, 1, None, 3]), pl.Series("word", ["b", None, "a", "b"]),
        pl.Series("many", [None, *range(1, 101)]), pl.Series("close", [1e6 + at / 1000 for at in range(100)]),
        pl.Series("mass", [0.0] * 80 + [float(at) for at in range(1, 30)]),
    ],
    ids=lambda column: str(column.name),
)  # fmt: skip
def test_the_codes_of_groups_are_their_names(column: pl.Series) -> None:
    levels, codes = group_codes(column)
    names = group_names(column).cast(pl.String).to_list()
    assert [levels[code] for code in codes] == names
    assert levels == sorted(set(names))


def test_a_protected_number_is_cut_into_quartiles_and_missing_is_a_group() -> None:
    names = group_names(pl.Series("age", [None, *range(1, 101)]))
    counts = dict(names.value_counts().iter_rows())
    assert counts.pop("missing") == 1
    assert len(counts) == 4
    assert sum(counts.values()) == 100
    assert all(24 <= count <= 26 for count in counts.values())


def test_the_slice_that_is_worse_is_named_and_noise_names_none() -> None:
    frame = made_up(4000).with_columns(
        pl.when(pl.col("color") == "red").then(pl.col("y") + 4 * pl.col("noise").shuffle(seed=3)).otherwise("y")
        .alias("y")
    )  # fmt: skip
    bad = fit(spec("y"), frame).evaluation
    assert bad is not None
    assert (bad.worst[0].column, bad.worst[0].value) == ("color", "red")
    assert (bad.worst[0].ratio or 0) > 3
    even = fit(spec("on"), made_up(4000)).evaluation
    assert even is not None
    assert all(one.z > 3.09 for one in even.worst)
    assert len(even.worst) <= 2


def test_a_rows_loss_is_the_metric_before_it_is_averaged() -> None:
    outputs = np.array([[0.2], [0.9]])
    assert row_losses(np.array([0.0, 1.0]), outputs, Task.BINARY) == pytest.approx([-np.log(0.8), -np.log(0.9)])
    assert row_losses(np.array([1.0, 1.0]), outputs, Task.REGRESSION) == pytest.approx([0.64, 0.01])


class Links(HTMLParser):
    """Whatever a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe", "object"}:
            self.found.append(tag)
        self.found += [value or "" for name, value in attrs if name in {"src", "href", "srcset"}]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    made = new_appliance(tmp_path_factory.mktemp("report") / "state")
    hard = penguins().rename({"island": "<script>alert('isle')</script>"})
    add(made, "data", hard)
    train_now(made, spec("species", owner='the "lab" & <friends>'))
    yield made


def test_the_page_loads_nothing_and_runs_nothing_whatever_columns_are_called(house: Appliance) -> None:
    page = house.models.card_page("model")
    links = Links()
    links.feed(page)
    assert links.found == []
    assert "&lt;script&gt;" in page
    assert "the &quot;lab&quot; &amp; &lt;friends&gt;" in page
    for heading in ("How good it is", "Limits", "Fairness", "Data", "How to call it", "Record"):
        assert f"<h2>{heading}</h2>" in page
    assert "appliance reproduce model --version 1" in page


def test_the_run_holds_the_card_and_its_pictures(house: Appliance) -> None:
    (folder,) = (house.settings.layout.mlflow / "artifacts").rglob("card")
    names = {path.name for path in folder.iterdir()}
    assert {"card.html", "card.json", "confusion.svg", "contributions.svg"} <= names
    for path in folder.glob("*.svg"):
        assert ET.parse(path).getroot().tag.endswith("svg")  # noqa: S314  (our own file)
    assert msgspec.json.decode((folder / "card.json").read_bytes(), type=ModelCard).version == 1


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("bikes", {"residuals", "predicted", "contributions"}),
        ("on", {"roc", "precision_recall", "calibration", "confusion", "contributions"}),
        ("species", {"roc", "precision_recall", "calibration", "confusion", "contributions"}),
    ],
)
def test_each_task_has_its_pictures_and_they_are_whole(wanted: str, names: set[str]) -> None:
    frames = {"bikes": (BIKE, bikes()), "on": (spec("on"), made_up()), "species": (spec("species"), penguins())}
    model = fit(*frames[wanted])
    assert model.evaluation is not None
    pictures = draw_figures(model.evaluation, model.schema.classes)
    assert set(pictures) == names
    for picture in pictures.values():
        assert ET.fromstring(picture).tag.endswith("svg")  # noqa: S314  (our own text)
        assert "nan" not in picture.lower()


def test_the_command_writes_the_page(house: Appliance, tmp_path: Path) -> None:
    shell = Shell(state=house.settings.state)
    shell.ok("card", "model", "--html", str(tmp_path / "card.html"))
    assert (tmp_path / "card.html").read_text().startswith("<!doctype html>")
    refused = shell.run("card", "model", "--html", str(tmp_path / "no" / "card.html"))
    assert refused.code == 1
    assert "cannot write" in refused.err
    assert "evaluation" in shell.ok("card", "model", "--json").json()


def test_a_card_of_an_earlier_release_is_read(house: Appliance) -> None:
    card = msgspec.to_builtins(house.models.card("model"))
    for name in ("evaluation", "record", "trials", "cross_validation", "owner", "purpose", "threshold", "calibrated"):
        del card[name]
    old = msgspec.convert(card, ModelCard)
    assert "How good it is" in render_card(old, api_url="http://box")


def test_a_card_says_that_all_rows_but_a_slices_have_no_loss(house: Appliance) -> None:
    card = house.models.card("model")
    assert card.evaluation is not None
    slices = tuple(
        Segment(column="island", value=str(ratio), rows=40, loss=0.5, ratio=ratio, z=9.0) for ratio in (None, 2.5)
    )
    found = msgspec.structs.replace(card.evaluation, worst=slices)
    page = render_card(msgspec.structs.replace(card, evaluation=found), api_url="http://box")
    assert page.index("these have none") < page.index("2.50 x")


def test_fairness_of_three_classes_compares_what_each_group_is_given_of_each() -> None:
    frame = pl.concat([penguins()] * 4)
    found = fit(spec("species", protected=("sex",)), frame).evaluation
    assert found is not None
    assert [one.column for one in found.fairness] == ["sex (Adelie)", "sex (Chinstrap)", "sex (Gentoo)"]
    for one in found.fairness:
        assert one.sentence.startswith(f"'sex', for class '{one.column[5:-1]}'")
    by_name = [{group.name: group.selected.value for group in one.groups} for one in found.fairness]
    assert all(sum(rates[name] or 0.0 for rates in by_name) == pytest.approx(1.0) for name in by_name[0])


def test_slices_are_measured_as_the_rows_of_each_against_all_others() -> None:
    """Welch's statistic of each group, computed from its own rows."""
    frame = made_up(3000)
    losses = np.abs(RNG.normal(size=3000)) ** 0.5
    losses[(frame["color"] == "blue").to_numpy()] += 0.2
    held = Held(
        raw=Table.of(frame), encoded=EncodedRows.of(pl.DataFrame()), truth=losses, outputs=np.zeros((3000, 1)),
    )  # fmt: skip
    schema = FeatureSchema(
        model="m", version=1, task=Task.REGRESSION, target="y", columns=(Column(name="color", kind=Kind.CATEGORY),)
    )
    (worst,) = worst_slices(held, schema)
    here, there = (losses[(frame["color"] == "blue").to_numpy() == side] ** 2 for side in (True, False))
    assert worst.rows == len(here)
    assert worst.loss == pytest.approx(here.mean() ** 0.5)
    assert worst.ratio == pytest.approx((here.mean() / there.mean()) ** 0.5)
    error = np.sqrt(here.var(ddof=1) / len(here) + there.var(ddof=1) / len(there))
    assert worst.z == pytest.approx((here.mean() - there.mean()) / error)


def test_a_slice_is_told_though_all_other_rows_are_predicted_to_the_bit() -> None:
    frame = made_up(3000)
    blue = (frame["color"] == "blue").to_numpy()
    held = Held(
        raw=Table.of(frame), encoded=EncodedRows.of(pl.DataFrame()),
        truth=np.where(blue, np.random.default_rng(4).normal(size=3000), 0.0), outputs=np.zeros((3000, 1)),
    )  # fmt: skip
    schema = FeatureSchema(
        model="m", version=1, task=Task.REGRESSION, target="y", columns=(Column(name="color", kind=Kind.CATEGORY),)
    )
    (worst,) = worst_slices(held, schema)
    assert (worst.value, worst.rows, worst.ratio) == ("blue", int(blue.sum()), None)
    assert msgspec.json.decode(msgspec.json.encode(worst), type=Segment) == worst


def test_equal_losses_make_no_slice_worse() -> None:
    frame = made_up(3000)
    held = Held(
        raw=Table.of(frame), encoded=EncodedRows.of(pl.DataFrame()), truth=np.full(3000, 0.1),
        outputs=np.zeros((3000, 1)),
    )  # fmt: skip
    columns = tuple(Column(name=name, kind=Kind.CATEGORY) for name in ("color", "noise"))
    schema = FeatureSchema(model="m", version=1, task=Task.REGRESSION, target="y", columns=columns)
    assert worst_slices(held, schema) == ()


def test_numbers_beyond_64_bits_of_sign_are_sliced_too() -> None:
    """Such as a hash, which no signed integer holds."""
    hashes = [(1 << 63) + 4096 * (at * 7919 % 500) for at in range(2000)]
    frame = made_up(2000).with_columns(hash=pl.Series(hashes, dtype=pl.UInt64))
    found = fit(spec("y"), frame).evaluation
    assert found is not None
    assert "hash" in {one.column for one in found.contributions}, "it does not rise from row to row"


def test_each_of_several_classes_is_measured_against_the_others() -> None:
    model = fit(spec("species"), penguins())
    assert model.evaluation is not None
    codes = {name: at for at, name in enumerate(model.schema.classes)}
    truth = np.array([codes[name] for name in model.labels])
    for at, found in enumerate(model.evaluation.classes):
        assert found.auc == area_under_roc((truth == at).astype(float), model.outputs[:, at])
        assert found.roc is not None
        assert found.calibration is not None
        assert (found.roc.x[0], found.roc.y[0], found.roc.x[-1], found.roc.y[-1]) == (0.0, 0.0, 1.0, 1.0)
        assert np.mean(found.calibration.y) == pytest.approx(np.mean(truth == at), abs=0.02)
    assert "ROC of each class" in draw_figures(model.evaluation, model.schema.classes)["roc"]


def test_of_many_classes_the_most_frequent_have_curves() -> None:
    rng = np.random.default_rng(3)
    truth = rng.choice(14, p=np.arange(1, 15) / 105, size=3000).astype(np.float64)
    outputs = rng.dirichlet(np.ones(14), size=3000)
    results = class_results(truth, outputs.argmax(axis=1).astype(float), tuple("abcdefghijklmn"))
    found = with_curves(results, truth, outputs)
    assert "".join(one.name for one in found if one.roc is not None) == "efghijklmn"
    assert all(one.auc is not None for one in found)


def test_errors_of_groups_are_compared_with_their_intervals() -> None:
    rng = np.random.default_rng(9)
    group = np.array(["a"] * 400 + ["b"] * 400 + ["few"] * 20)
    error = rng.normal(scale=np.where(group == "a", 2.0, 1.0)) + (group == "b") * 0.5
    found = compare_errors(pl.Series("sex", group), error)
    by_name = {one.name: one for one in found.groups}
    for name in ("a", "b"):
        mine = error[group == name]
        low, high = norm.interval(0.95, loc=np.abs(mine).mean(), scale=sem(np.abs(mine)))
        mae = by_name[name].mae
        assert (mae.value, mae.low, mae.high) == pytest.approx((np.abs(mine).mean(), low, high), rel=1e-3)
        assert by_name[name].bias.value == pytest.approx(mine.mean())
    assert not by_name["few"].judged
    assert found.flagged
    assert found.ratio == pytest.approx(by_name["a"].mae.value / by_name["b"].mae.value)
    assert "'sex': predictions miss by" in found.sentence
    alike = compare_errors(pl.Series("sex", group), rng.normal(size=len(group)))
    assert not alike.flagged


def test_errors_of_one_group_alone_are_flagged() -> None:
    group = np.array(["a"] * 400 + ["b"] * 400)
    error = np.random.default_rng(9).normal(size=800) * (group == "a")
    found = compare_errors(pl.Series("sex", group), error)
    assert (found.flagged, found.ratio) == (True, None)
    assert "for 'a', where the other has no error at all;" in found.sentence
    perfect = compare_errors(pl.Series("sex", group), np.zeros(800))
    assert (perfect.flagged, perfect.ratio) == (False, None)
    assert "and by 0 for 'b', as large;" in perfect.sentence
    by_chance = np.zeros(800)
    by_chance[0] = 1.0
    assert not compare_errors(pl.Series("sex", group), by_chance).flagged


def test_a_regression_says_the_errors_of_protected_groups(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    add(house, "data", bikes())
    train_now(house, msgspec.structs.replace(BIKE, protected=("holiday", "season"), rounds=30))
    card = house.models.card("model")
    assert card.evaluation is not None
    assert [one.column for one in card.evaluation.group_errors] == ["holiday", "season"]
    page = render_card(card, api_url="http://box")
    assert "<h2>Fairness</h2><p>&#x27;holiday&#x27;: predictions miss by" in page
    assert "mean absolute error" in page
    below_zero = render_card(msgspec.structs.replace(card, metrics={"bias": -5.168}), api_url="http://box")
    assert "<td class=n>-5.168</td>" in below_zero
