"""Data quality at serving: counted exactly once, added up, judged by the drift rule, alerted on after two days."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest

from appliance.events import PredictionEvent, StatsEvent
from appliance.monitoring.data_quality import MOST_NAMES, OTHER_NAMES, DataQualityCounts, parse_quality
from appliance.monitoring.data_quality_report import Oddity
from appliance.monitoring.data_quality_verdict import judge_parts
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.row_sample import MOST, add_samples, hash_rows, sample_rows
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from tests.monitoring.traffic import (
    DAY_US,
    HOUR_US,
    START_US,
    Traffic,
    encoded_rows,
    publish,
    regression_schema,
    token_at,
    training_frame,
)


def send_with_unknown(traffic: Traffic, rows: int, unknown: dict[str, int], *, event_us: int = START_US) -> None:
    """Append an event whose rows had columns that the model does not know."""
    traffic.serial += 1
    values = encoded_rows(np.random.default_rng(traffic.serial), rows)
    event = PredictionEvent(
        id=token_at(event_us, traffic.serial), t=event_us, at=event_us, m="rent", v=1, n=rows, us=9,
        x=[float(value) for value in values.ravel()], y=(values[:, 0] * 2).tolist(), i=unknown,
    )  # fmt: skip
    traffic.write("predictions", msgspec.json.encode(event))


def refuse_for(traffic: Traffic, column: str, count: int, *, at_us: int = START_US, mistyped: int = 0) -> None:
    """Append what a worker says about requests that it refused for a column."""
    traffic.serial += 1
    event = StatsEvent(
        id=f"w-{traffic.serial}", at=at_us, errors=[("rent", 1, 422, count)], fields=[("rent", 1, column, count)],
        types=[("rent", 1, column, mistyped)] if mistyped else [],
    )  # fmt: skip
    traffic.write("stats", msgspec.json.encode(event))


def test_every_oddity_is_counted_once_and_in_its_share(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    rows = encoded_rows(np.random.default_rng(0), 200)
    rows[:20, 0] = 500.0  # out of the training's range
    rows[20:60, 1] = -1.0  # a category that training never saw
    rows[60:70, 2] = np.nan
    traffic.predict(rows, event_us=START_US)
    refuse_for(traffic, "temp", 50)
    send_with_unknown(traffic, 100, {"wind": 80})
    watch_once(watch)
    assert watch_once(watch).idle
    found = Monitoring(settings).data_quality("rent")
    assert (found.rows, found.refused) == (300, 50)
    temp, season, holiday = found.columns
    assert temp.shares[Oddity.OUTSIDE].count == 20
    assert temp.shares[Oddity.OUTSIDE].share.current == pytest.approx(20 / 300)
    assert temp.shares[Oddity.REFUSED].share.current == pytest.approx(50 / 350)
    assert season.shares[Oddity.UNSEEN].share.current == pytest.approx(40 / 300)
    assert holiday.shares[Oddity.MISSING].share.current == pytest.approx(10 / 300)
    (wind,) = found.unknown
    assert (wind.name, wind.rows) == ("wind", 80)
    assert wind.share == pytest.approx(80 / 300)
    assert (season.state, wind.state, found.state) == (State.ALARM, State.ALARM, State.ALARM)
    assert "`season`: categories that training never saw rose from 0 % to 13.3 %" in season.sentence


def test_values_of_another_type_are_told_from_columns_that_are_absent(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(0), 300), event_us=START_US)
    refuse_for(traffic, "temp", 40, mistyped=30)
    refuse_for(traffic, "temp", 10, mistyped=10)
    refuse_for(traffic, "season", 50)
    watch_once(watch)
    temp, season, holiday = Monitoring(settings).data_quality("rent").columns
    assert [one.shares[Oddity.REFUSED].count for one in (temp, season, holiday)] == [50, 50, 0]
    assert [one.shares[Oddity.TYPE].count for one in (temp, season, holiday)] == [40, 0, 0]
    assert temp.shares[Oddity.TYPE].share.current == pytest.approx(40 / 350)
    assert "50 requests were refused for it (14.3 %): 40 with a value of another type, 10 without it" in temp.sentence
    assert "0 with a value of another type, 50 without it" in season.sentence
    assert temp.to_json()["type_error"] == temp.shares[Oddity.TYPE].to_json()


def test_counts_that_knew_no_types_are_read(watch: Watch) -> None:
    old = msgspec.json.decode(DataQualityCounts(refused=Counter({"temp": 3})).dump())
    del old["mistyped"]
    found = parse_quality(msgspec.json.encode(old))
    assert (found.refused, found.mistyped) == (Counter({"temp": 3}), Counter())


def test_hours_add_up_however_the_log_is_cut(settings: Settings, traffic: Traffic) -> None:
    rng = np.random.default_rng(0)
    for i in range(60):
        rows = encoded_rows(rng, 1 + i % 3)
        rows[0, 0] = -999.0 - i
        traffic.predict(rows, event_us=START_US + i * HOUR_US // 10)
    small = Watch(settings.layout, chunk_bytes=400)
    watch_once(small)
    small.close()
    found = Monitoring(settings).data_quality("rent", 48 * 3600)
    assert found.rows == sum(1 + i % 3 for i in range(60))
    assert found.columns[0].shares[Oddity.OUTSIDE].count == 60
    assert found.duplicate_share == 0.0


def test_rows_as_at_training_are_in_order(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(5), 1000), event_us=START_US)
    watch_once(watch)
    found = Monitoring(settings).data_quality("rent")
    assert (found.state, found.sentence) == (State.OK, "The rows are as at training.")


def test_few_rows_are_never_in_order(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(5), 49), event_us=START_US)
    watch_once(watch)
    assert Monitoring(settings).data_quality("rent").state is State.NOT_ENOUGH_DATA


def test_a_window_without_any_row_is_no_data(settings: Settings) -> None:
    found = Monitoring(settings).data_quality("rent")
    assert (found.rows, found.duplicate_share, found.state) == (0, None, State.NOT_ENOUGH_DATA)


def test_refusals_of_a_replay_are_seen_beside_its_rows(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    arrival = START_US + 400 * DAY_US
    traffic.predict(encoded_rows(np.random.default_rng(0), 100), event_us=START_US, arrival_us=arrival)
    refuse_for(traffic, "temp", 7, at_us=arrival + HOUR_US)
    traffic.refuse(at_us=arrival + HOUR_US, status=422, count=7)
    watch_once(watch)
    found = Monitoring(settings).data_quality("rent")
    assert (found.rows, found.refused) == (100, 7)


def test_a_model_that_refuses_everybody_opens_an_alert(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    for day in range(4):
        refuse_for(traffic, "season", 500, at_us=START_US + day * DAY_US)
    watch_once(watch)
    (alert,) = Monitoring(settings).alerts()
    assert (alert.subject, alert.state, alert.opened_at.day) == ("data_quality", State.ALARM, 4)
    found = Monitoring(settings).data_quality("rent")
    assert (found.rows, found.columns[1].shares[Oddity.REFUSED].share.current) == (0, 1.0)


def test_one_refusal_after_a_replay_judges_no_day(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    refuse_for(traffic, "temp", 1, at_us=START_US + 400 * DAY_US)
    refuse_for(traffic, "temp", 1, at_us=START_US + 402 * DAY_US)
    rng = np.random.default_rng(0)
    for day in range(4):
        rows = encoded_rows(rng, 200)
        rows[:100, 1] = -1.0
        traffic.predict(rows, event_us=START_US + day * DAY_US)
    watch_once(watch)
    assert "data_quality" in {alert.subject for alert in Monitoring(settings).alerts()}


def test_a_shadow_counts_no_row_again(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    rows = encoded_rows(np.random.default_rng(0), 60)
    traffic.predict(rows, event_us=START_US)
    traffic.predict(rows, event_us=START_US, variant="shadow")
    watch_once(watch)
    found = Monitoring(settings).data_quality("rent")
    assert (found.rows, found.duplicate_share) == (60, 0.0)


def test_repeated_rows_are_found_across_hours(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    rows = encoded_rows(np.random.default_rng(0), 60)
    for hour in range(3):
        traffic.predict(rows, event_us=START_US + hour * HOUR_US)
    watch_once(watch)
    assert Monitoring(settings).data_quality("rent").duplicate_share == pytest.approx(2 / 3)


def test_a_column_of_another_version_says_so(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    newer = msgspec.structs.replace(
        regression_schema(2), columns=(*regression_schema(2).columns, regression_schema().columns[0])
    )
    wind = msgspec.structs.replace(newer.columns[-1], name="wind")
    newer = msgspec.structs.replace(newer, columns=(*newer.columns[:-1], wind))
    frame = training_frame()
    publish(settings, newer, frame.with_columns(wind=frame["temp"]))
    send_with_unknown(traffic, 100, {"wind": 100, "": 3})
    watch_once(watch)
    found = Monitoring(settings).data_quality("rent", version=1)
    assert [(one.name, one.versions) for one in found.unknown] == [("wind", (2,)), ("", ())]
    assert found.schemas[1] != found.schemas[2]
    assert "`wind`, a column of version 2, came with 100 % of the rows and was ignored." in found.sentence


def test_an_alert_opens_after_two_days_and_closes_after_two(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    rng = np.random.default_rng(3)
    for day in range(6):
        traffic.predict(encoded_rows(rng, 300), event_us=START_US + day * DAY_US)
        if day in {1, 2}:
            refuse_for(traffic, "temp", 200, at_us=START_US + day * DAY_US)
    watch_once(watch)
    alerts = [one for one in Monitoring(settings).alerts() if one.subject == "data_quality"]
    (alert,) = alerts
    assert (alert.model, alert.state) == ("rent", State.ALARM)
    told = "0 with a value of another type, 200 without it."
    assert alert.message == f"`temp`: 200 requests were refused for it (40 %): {told}"
    assert (alert.opened_at.day, alert.closed_at and alert.closed_at.day) == (5, 7)


@pytest.mark.parametrize(
    ("before", "now", "state"),
    [
        ((0, 2000), (0, 500), State.OK),
        ((0, 2000), (5, 500), State.OK),  # psi of 1 % out of nothing: 0.036
        ((0, 2000), (15, 500), State.WARN),  # 3 %: 0.14
        ((0, 2000), (50, 500), State.ALARM),
        ((200, 2000), (50, 500), State.OK),
        ((600, 2000), (0, 500), State.ALARM),  # a gap that closed is a change too
        ((0, 2000), (10, 49), State.NOT_ENOUGH_DATA),
        ((0, 0), (10, 100), State.NOT_ENOUGH_DATA),
    ],
)
def test_shares_are_judged_by_the_drift_rule(before: tuple[int, int], now: tuple[int, int], state: State) -> None:
    assert judge_parts(before, now) is state


def test_chance_alone_is_no_alarm() -> None:
    rng = np.random.default_rng(7)
    shares = rng.choice([0.0, 0.001, 0.02, 0.1, 0.4], 4000)
    judged = [
        judge_parts((int(rng.binomial(2000, share)), 2000), (int(rng.binomial(rows, share)), rows))
        for share, rows in zip(shares.tolist(), rng.choice([50, 100, 1000], 4000).tolist(), strict=True)
    ]
    assert sum(state is not State.OK for state in judged) <= 4


def test_counts_survive_the_database() -> None:
    counts = DataQualityCounts(
        rows=7, refused=Counter(a=1), outside=Counter(b=2), unknown=Counter(c=3),
        sample=sample_rows(hash_rows(np.arange(12.0).reshape(4, 3))),
    )  # fmt: skip
    assert parse_quality(counts.dump()) == counts


def test_names_that_callers_make_up_stay_bounded() -> None:
    many = DataQualityCounts(unknown=Counter({f"name-{i}": 1 + (i < MOST_NAMES) for i in range(5 * MOST_NAMES)}))
    total = parse_quality((many + many).dump()).unknown
    assert len(total) == MOST_NAMES + 1
    assert total[OTHER_NAMES] == 2 * 4 * MOST_NAMES
    assert total.total() == 2 * many.unknown.total()


def test_a_sample_is_exact_while_it_is_small() -> None:
    rows = np.random.default_rng(0).normal(size=(MOST, 4))
    sample = sample_rows(hash_rows(np.vstack((rows, rows[:100]))))
    assert sample.depth == 0
    assert sample.duplicate_share == pytest.approx(100 / (MOST + 100))


@pytest.mark.parametrize("repeated", [0, 5_000, 20_000])
def test_a_large_sample_is_near_and_does_not_depend_on_the_order(repeated: int) -> None:
    rng = np.random.default_rng(1)
    distinct = np.round(rng.normal(size=(20_000, 3)), 9)
    rows = np.vstack((distinct, distinct[:repeated]))
    whole = sample_rows(hash_rows(rows))
    shuffled = rng.permutation(rows)
    parts = add_samples(sample_rows(hash_rows(part)) for part in np.array_split(shuffled, 37))
    assert len(whole.counts) <= MOST
    assert parts == whole
    assert whole.duplicate_share == pytest.approx(repeated / len(rows), abs=0.08)


def test_nulls_and_both_zeros_are_alike() -> None:
    other_nan = np.array([0x7FF8_0000_0000_0001], np.uint64).view(np.float64)[0]
    hashes = hash_rows(np.array([[np.nan, 0.0], [other_nan, -0.0], [0.0, np.nan]]))
    assert hashes[0] == hashes[1] != hashes[2]
