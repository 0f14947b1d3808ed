"""Texts on a page: moments of ours turn into the viewer's time, and somebody's own words stay what they are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ui.components.markup import text_html
from ui.words import when


def test_a_moment_as_we_write_it_can_be_shown_in_another_zone() -> None:
    moment = datetime(2026, 11, 30, 9, 5, tzinfo=UTC)
    assert text_html(f"until {when(moment)}, <b>") == (
        f'until <time datetime="2026-11-30T09:05:00Z">{when(moment)}</time>, &lt;b&gt;'
    )


@pytest.mark.parametrize(
    "words", ["freeze until 30 Nov 2026, 24:00 UTC", "31 Nov 2026, 10:00 UTC", "12 Foo 2026, 10:00 UTC"]
)
def test_words_that_look_like_a_moment_and_are_none_stay_as_they_are(words: str) -> None:
    assert text_html(words) == words
