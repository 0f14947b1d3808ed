"""Charts through the ECharts that NiceGUI ships: one look, units on the axes, light and dark without a reload.

Colours are CSS variables: the charts are drawn as SVG, so the browser resolves them and the theme may change any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicegui import ui as ng

from appliance.figures import figure
from ui.components.markup import with_attributes
from ui.texts import _, pgettext

FONT = "Roboto, system-ui, sans-serif"
_SERIES = ("var(--series-1)", "var(--series-3)", "var(--series-4)", "var(--series-5)", "var(--series-2)")

_SLANTED_LETTERS = 22
"""Of a bin's label, at most."""

Span = tuple[datetime, datetime]
"""From when to when a chart reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve of a chart over time or rounds.

    Attributes:
        points: ``(x, y)``; x a moment or a number, y None where nothing is known: the line is broken there.
        colour: A CSS colour or variable; None: the next of the palette.
        hollow: Each point is drawn as a ring: it is not settled yet.
    """

    name: str
    points: Sequence[tuple[datetime | float, float | None]]
    colour: str | None = None
    dashed: bool = False
    area: bool = False
    hollow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Something that happened while the curves were drawn, a deployment for example."""

    at: datetime
    label: str


_PLACE = """event => {
  const { chart, $el } = getElement(ID);
  const corner = $el.getBoundingClientRect();
  const at = [event.clientX - corner.left, event.clientY - corner.top];
  if (chart.containPixel("grid", at)) emit(chart.convertFromPixel("grid", at)[AXIS]);
}"""


class Chart:
    """A chart on the page; ``show`` draws it again in place.

    With ``on_place``, a click anywhere between the axes calls it with the place on the x axis: milliseconds since 1970
    on an axis of time. Curves have no points that a mouse could hit, so any height counts. With ``on_row``, it is the
    place on the y axis: the number of the bar, from 0, of bars that lie.
    """

    def __init__(
        self, options: dict[str, Any], *, size: str = "", label: str, on_place: Callable[[float], None] | None = None,
        on_row: Callable[[float], None] | None = None,
    ) -> None:  # fmt: skip
        self._chart = ng.echart(options, renderer="svg").classes(f"chart {size}")
        with_attributes(self._chart, role="img", aria_label=label)
        for axis, act in enumerate((on_place, on_row)):
            if act is not None:
                self._open(act, axis)

    def _open(self, act: Callable[[float], None], axis: int) -> None:
        handler = _PLACE.replace("ID", str(self._chart.id)).replace("AXIS", str(axis))
        self._chart.classes("opens").on("click", lambda event: act(float(event.args)), js_handler=handler)

    def show(self, options: dict[str, Any]) -> None:
        """Draw other options."""
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()

    def tall(self, height_px: int) -> None:
        """Give it another height, for charts with a bar a name."""
        self._chart.style(f"height: {height_px}px")


def lines(
    series: Sequence[Line], *, y_unit: str, x_name: str = "", span: Span | None = None, markers: Sequence[Marker] = ()
) -> dict[str, Any]:
    """Options of curves over a span of time, in the viewer's zone, or without one over a number."""
    options = _frame(legend=len(series) > 1)
    options["grid"]["bottom"] = 28
    if span:
        options["xAxis"] = _time_axis(span)
    else:
        options["xAxis"] = _axis(type="value", name=x_name, split=False, scale=True)
    options["yAxis"] = _axis(type="value", name=y_unit, scale=True)
    options["tooltip"] |= {"trigger": "axis", ":valueFormatter": _value_with(y_unit)}
    options["series"] = [_curve(line, _SERIES[i % len(_SERIES)]) for i, line in enumerate(series)]
    if span:
        _mark(options, markers, span)
    return options


def bars_over_time(
    points: Sequence[tuple[datetime, float]], *, name: str, y_unit: str, span: Span, markers: Sequence[Marker] = ()
) -> dict[str, Any]:
    """Options of counts over a span of time, in the viewer's zone."""
    options = _frame(legend=False)
    options["xAxis"] = _time_axis(span)
    options["grid"]["bottom"] = 28
    options["yAxis"] = _axis(type="value", name=y_unit) | {"minInterval": 1}
    options["tooltip"] |= {"trigger": "axis", ":valueFormatter": _value_with(y_unit)}
    options["series"] = [{
        "type": "bar", "name": name, "data": [[_x(x), y] for x, y in points], "itemStyle": {"color": "var(--series-1)"},
        "barMaxWidth": 14, "emphasis": {"disabled": True},
    }]  # fmt: skip
    _mark(options, markers, span)
    return options


def _time_axis(span: Span) -> dict[str, Any]:
    """All of the span, so that charts side by side can be compared and an hour without traffic is seen."""
    axis = _axis(type="time", name=_("local time"), split=False) | {"min": _x(span[0]), "max": _x(span[1])}
    axis["axisLabel"]["formatter"] = {
        "year": "{yyyy}", "month": pgettext("time axis", "{MMM} {yyyy}"), "day": pgettext("time axis", "{d} {MMM}"),
        "hour": "{HH}:{mm}", "minute": "{HH}:{mm}", "second": "{HH}:{mm}:{ss}",
    }  # fmt: skip
    return axis


def _mark(options: dict[str, Any], markers: Sequence[Marker], span: Span) -> None:
    """Draw the markers of the span as upright lines with their label; none also takes those of before away."""
    shown = [one for one in markers if span[0] <= one.at <= span[1]]
    options["series"][0]["markLine"] = {
        "symbol": "none", "silent": True, "animation": False,
        "lineStyle": {"color": "var(--text-3)", "type": "dotted", "width": 1.5},
        "label": {"color": "var(--text-2)", "fontFamily": FONT, "fontSize": 11.5, "position": "insideEndTop",
                  "rotate": 0, "formatter": "{b}"},
        "data": [{"xAxis": _x(one.at), "name": one.label} for one in shown],
    }  # fmt: skip


def _value_with(unit: str) -> str:
    """JavaScript that writes a hovered value with its unit."""
    return (
        "value => value == null ? '\u2013' : "
        f"Number(value).toLocaleString('en', {{maximumSignificantDigits: 5}}) + {json.dumps(' ' + unit)}"
    )


def compared_histogram(
    bins: Sequence[str], reference: Sequence[float], current: Sequence[float], *, x_name: str
) -> dict[str, Any]:
    """Options of two histograms over the same bins; the values are shares of rows, in per cent."""
    options = _frame(legend=True)
    options["xAxis"] = _axis(type="category", name=x_name, split=False)
    options["xAxis"]["data"] = list(bins)
    options["xAxis"]["axisLabel"] |= {"interval": "auto", "hideOverlap": True, "rotate": 0}
    options["grid"]["bottom"] = 28
    if len(bins) > 6:  # slanted by 30 degrees, a letter of some 6 px goes 3 px down; the name stands below the longest
        options["xAxis"] |= {"nameGap": 20 + 3 * min(max(map(len, bins)), _SLANTED_LETTERS)}
        options["xAxis"]["axisLabel"] |= {"rotate": 30, "width": 6 * _SLANTED_LETTERS, "overflow": "truncate"}
    options["yAxis"] = _axis(type="value", name=_("% of rows"))
    options["tooltip"] |= {"trigger": "axis", ":valueFormatter": _value_with(_("% of rows"))}
    options["tooltip"]["axisPointer"] = {"type": "shadow", "shadowStyle": {"opacity": 0.08}}
    options["series"] = [
        {
            "type": "bar",
            "name": name,
            "data": list(values),
            "itemStyle": {"color": colour},
            "barGap": "8%",
            "emphasis": {"disabled": True},
        }
        for name, values, colour in (
            (_("reference (training)"), reference, "var(--series-2)"),
            (_("current window"), current, "var(--series-1)"),
        )
    ]
    return options


def counted_bars(points: Sequence[tuple[float, float]], *, name: str, x_name: str, y_unit: str) -> dict[str, Any]:
    """Options of a histogram: bin middles to heights."""
    options = _frame(legend=False)
    options["grid"]["bottom"] = 28
    options["xAxis"] = _axis(type="category", name=x_name, split=False)
    options["xAxis"]["data"] = [figure(x, digits=3) for x, _ in points]
    options["yAxis"] = _axis(type="value", name=y_unit)
    options["tooltip"] |= {"trigger": "axis", ":valueFormatter": _value_with(y_unit)}
    options["series"] = [{
        "type": "bar", "name": name, "data": [y for _, y in points], "itemStyle": {"color": "var(--series-1)"},
        "barCategoryGap": "12%", "emphasis": {"disabled": True},
    }]  # fmt: skip
    return options


def signed_bars(names: Sequence[str], values: Sequence[float], *, x_unit: str) -> dict[str, Any]:
    """Options of horizontal bars to both sides of zero, the first on top."""
    options = _frame(legend=False)
    options["grid"] |= {"left": 8, "right": 24, "top": 8}
    options["xAxis"] = _axis(type="value", name=x_unit)
    options["xAxis"] |= {"nameLocation": "middle", "nameGap": 28, "splitNumber": 3}
    options["xAxis"]["nameTextStyle"] |= {"align": "center"}
    options["grid"]["bottom"] = 40
    options["yAxis"] = _axis(type="category", split=False)
    options["yAxis"] |= {"data": list(names), "inverse": True, "axisLine": {"show": False}}
    options["yAxis"]["axisLabel"] |= {
        "width": 130, "overflow": "break", "lineHeight": 14,  # the bars need the other half
    }  # fmt: skip
    options["tooltip"] |= {"trigger": "item", ":valueFormatter": _value_with(x_unit)}
    options["series"] = [{
        "type": "bar", "barMaxWidth": 16, "emphasis": {"disabled": True},
        "data": [
            {"value": value, "itemStyle": {"color": "var(--series-1)" if value >= 0 else "var(--series-4)"}}
            for value in values
        ],
    }]  # fmt: skip
    return options


def _curve(line: Line, colour: str) -> dict[str, Any]:
    paint, alone = line.colour or colour, _alone(line)
    data: list[Any] = [[_x(x), y] for x, y in line.points]
    if not line.hollow and any(alone):
        symbols = ("circle" if one else "none" for one in alone)
        data = [{"value": value, "symbol": symbol} for value, symbol in zip(data, symbols, strict=True)]
    curve: dict[str, Any] = {
        "type": "line", "name": line.name, "data": data, "showSymbol": line.hollow or any(alone),
        "showAllSymbol": True, "symbol": "circle", "symbolSize": 8 if line.hollow else 5,
        "emphasis": {"disabled": True}, "connectNulls": False,
        "itemStyle": {"color": "var(--surface)" if line.hollow else paint, "borderColor": paint,
                      "borderWidth": 1.75 if line.hollow else 0},
        "lineStyle": {"color": paint, "width": 1.75, "type": "dashed" if line.dashed else "solid"},
    }  # fmt: skip
    if line.area:
        curve["areaStyle"] = {"color": paint, "opacity": 0.1}
    return curve


def _alone(line: Line) -> list[bool]:
    """Of each point whether nothing leads to or from it, so that it would not be seen without a symbol."""
    known = [False, *(y is not None for _at, y in line.points), False]
    return [known[at] and not (known[at - 1] or known[at + 1]) for at in range(1, len(known) - 1)]


def _x(value: datetime | float) -> float:
    return value.timestamp() * 1000 if isinstance(value, datetime) else value


def _axis(*, type: str, name: str = "", split: bool = True, scale: bool = False) -> dict[str, Any]:  # noqa: A002  (ECharts' word)
    return {
        "type": type, "name": name, "scale": scale, "nameGap": 12 if split else 30,
        "nameLocation": "end" if type == "value" and split else "middle",
        "nameTextStyle": {
            "color": "var(--text-2)", "fontFamily": FONT, "fontSize": 12, "align": "left" if split else "center",
        },
        "axisLine": {"show": not split, "lineStyle": {"color": "var(--line-strong)"}}, "axisTick": {"show": False},
        "axisLabel": {"color": "var(--text-2)", "fontFamily": FONT, "fontSize": 12, "hideOverlap": True,
                      "alignMaxLabel": "right" if type == "value" and not split else None},
        "splitLine": {"show": split, "lineStyle": {"color": "var(--grid)"}},
    }  # fmt: skip


def _frame(*, legend: bool) -> dict[str, Any]:
    return {
        "animation": False, "useUTC": False, "textStyle": {"fontFamily": FONT},
        "grid": {"left": 8, "right": 16, "top": 58 if legend else 34, "bottom": 8, "containLabel": True},
        "legend": {"show": legend, "type": "scroll", "top": 0, "left": 0,
                   "itemWidth": 14, "itemHeight": 8, "icon": "roundRect",
                   "inactiveColor": "var(--text-3)",
                   "textStyle": {"color": "var(--text-2)", "fontFamily": FONT, "fontSize": 12.5}},
        "tooltip": {"confine": True, "backgroundColor": "var(--surface)", "borderColor": "var(--line-strong)",
                    "textStyle": {"color": "var(--text)", "fontFamily": FONT, "fontSize": 12.5}},
    }  # fmt: skip
