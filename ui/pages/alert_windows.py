"""The histograms of an alert in time: a slider over the windows of the days before shows how a column came to move."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

from nicegui import ui as ng

from appliance.monitoring.alert_story import AlertStory, TrendPoint
from appliance.monitoring.drift_report import DriftDetail
from appliance.monitoring.spans import utc_text
from ui.components.chart import Chart, compared_histogram
from ui.components.form import native_slider
from ui.components.markup import box, panel, text_html
from ui.components.status import status_of
from ui.page import View
from ui.pages.closer import Point, span_text
from ui.texts import _, ngettext
from ui.words import number, plain, when


def show_moving(view: View, story: AlertStory) -> None:
    """The histograms of the window that opened the alert, and the slider that shows them for another."""
    if not story.pictures:
        return
    moving = _Moving(view, story)
    if len(story.trend) > 1:
        moving.draw_slider()
    moving.draw_pictures()


def trend_points(story: AlertStory) -> list[Point]:
    """The days of the trend, each with the drift page at its time behind it."""
    judged = story.facts.judged
    if judged is None or not story.pictures:
        return []
    window, column = span_text(int(judged.window.seconds)), quote(story.pictures[0].drift.name)
    page = f"/monitoring/{judged.model}?tab=drift&column={column}&window={window}"
    return [
        Point(
            at=point.at, figures=(number(point.psi, digits=3), status_of(point.state.value).label),
            address=f"{page}&until={quote(utc_text(point.at))}",
        )
        for point in story.trend
    ]  # fmt: skip


class _Moving:
    def __init__(self, view: View, story: AlertStory) -> None:
        self._view = view
        self._story = story
        self._shown = len(story.trend) - 1
        self._parts: list[tuple[Chart, ng.html, ng.html]] = []

    def draw_slider(self) -> None:
        """One for all pictures."""
        last = len(self._story.trend) - 1
        with panel(_("Over time"), _("move the slider: the same histograms on each of the days before")):
            native_slider(_("Window of the histograms"), last + 1, last, self._choose)
            self._said = ng.html(self._words(last), sanitize=False).props("aria-live=polite")

    def draw_pictures(self) -> None:
        """A panel a column."""
        for picture in self._story.pictures:
            name = picture.drift.name
            with panel(_("{name}: the training against the judged window").format(name=name)):
                with box("line"):
                    state = ng.html(status_of(picture.drift.state.value).html(), sanitize=False, tag="span")
                    said = ng.html(text_html(plain(picture.drift.sentence)), sanitize=False).classes("grow")
                chart = Chart(
                    _options(picture),
                    label=_("Shares of {name} by bin, at training and in the window, in per cent of the rows").format(
                        name=name
                    ),
                )
            self._parts.append((chart, state, said))

    def _choose(self, place: int) -> None:
        self._shown = place
        self._said.set_content(self._words(place))
        ng.timer(0.05, partial(self._bring, place), once=True)

    async def _bring(self, place: int) -> None:
        judged, monitoring = self._story.facts.judged, self._view.appliance.monitoring
        if judged is None or place != self._shown:
            return  # it was moved on meanwhile
        until, window_s = self._story.trend[place].at, int(judged.window.seconds)

        def fetch() -> list[DriftDetail]:
            return [
                monitoring.drift_detail(
                    judged.model, one.drift.name, window_s, version=judged.version, until=until
                )
                for one in self._story.pictures
            ]  # fmt: skip

        found = await self._view.ask(fetch)
        if place != self._shown or self._said.is_deleted:
            return
        for picture, (chart, state, said) in zip(found, self._parts, strict=True):
            chart.show(_options(picture))
            state.set_content(status_of(picture.drift.state.value).html())
            said.set_content(text_html(plain(picture.drift.sentence)))

    def _words(self, place: int) -> str:
        point: TrendPoint = self._story.trend[place]
        days = len(self._story.trend) - 1 - place
        if not days:
            said = _("The window that opened the alert, up to {when}.").format(when=when(point.at))
        else:
            said = ngettext(
                "The window a day before, up to {when}.", "The window {count} days before, up to {when}.", days
            ).format(count=days, when=when(point.at))
        return text_html(said)


def _options(picture: DriftDetail) -> dict[str, object]:
    return compared_histogram(
        [part.label for part in picture.bins],
        [round(part.reference * 100, 3) for part in picture.bins],
        [round(part.current * 100, 3) for part in picture.bins],
        x_name="",
    )
