"""Options of charts: an axis says what it is of, and deployments are marked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ui.components.chart import Line, Marker, compared_histogram, lines

START = datetime(2026, 3, 1, tzinfo=UTC)
SPAN = (START, START + timedelta(days=14))


def test_both_axes_of_two_histograms_have_a_name() -> None:
    for bins in (["a", "b"], [f"{i} to {i + 1}" for i in range(12)]):
        options = compared_histogram(bins, [1.0] * len(bins), [2.0] * len(bins), x_name="temp")
        assert (options["xAxis"]["name"], options["yAxis"]["name"]) == ("temp", "% of rows")
        assert options["xAxis"]["nameGap"] > 3 * max(map(len, bins))


def test_only_what_was_deployed_in_the_span_is_marked() -> None:
    marks = [Marker(at=START + timedelta(days=day), label=f"v{day}") for day in (-1, 3, 20)]
    curve = Line(name="PSI", points=[(START, 0.1), (SPAN[1], 0.2)])
    shown = lines([curve], y_unit="PSI", span=SPAN, markers=marks)["series"][0]["markLine"]["data"]
    assert [one["name"] for one in shown] == ["v3"]
    # A chart is drawn on in place, where what is not said stays as it was.
    assert lines([curve], y_unit="PSI", span=SPAN)["series"][0]["markLine"]["data"] == []


def test_what_is_not_settled_is_a_dashed_line_of_rings() -> None:
    points = [(START, 0.1), (SPAN[1], 0.2)]
    settled, coming = lines(
        [Line(name="a", points=points), Line(name="b", points=points, dashed=True, hollow=True)], y_unit="", span=SPAN
    )["series"]
    assert (settled["showSymbol"], settled["lineStyle"]["type"]) == (False, "solid")
    assert (coming["showSymbol"], coming["lineStyle"]["type"]) == (True, "dashed")
    assert coming["itemStyle"]["color"] != coming["itemStyle"]["borderColor"] == coming["lineStyle"]["color"]
    assert (settled["itemStyle"]["borderWidth"], coming["itemStyle"]["borderWidth"] > 0) == (0, True)


def test_a_point_that_nothing_leads_to_is_seen() -> None:
    heights = [0.1, 0.2, None, 0.3, None]
    curve = Line(name="a", points=[(START + timedelta(days=i), y) for i, y in enumerate(heights)])
    drawn = lines([curve], y_unit="", span=SPAN)["series"][0]
    assert drawn["showSymbol"]
    assert [one["symbol"] for one in drawn["data"]] == ["none", "none", "none", "circle", "none"]
    assert [one["value"][1] for one in drawn["data"]] == heights
    assert lines([Line(name="a", points=[(START, 0.1)])], y_unit="", span=SPAN)["series"][0]["showSymbol"]
