"""The help's files: whole in each language, true to what else the repository says, and safe to draw."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli.main import VERBS
from appliance.reference import Reference, read_reference
from appliance.settings import Settings
from ui import texts
from ui.help import topics
from ui.help.finding import anchor_of, find
from ui.help.topics import FOLDER, TOPIC_OF, TOPICS, list_topics, read_topic, topic_of
from ui.pages import PAGES

ROOT = Path(__file__).parents[2]
LABELS = ("Commands", "HTTP calls", "All settings")


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    texts.install("en")
    yield
    texts.install("en")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return read_reference()


@pytest.mark.parametrize("language", ["en", "de"])
def test_each_language_has_every_topic(language: str) -> None:
    texts.install(language)
    assert {file.stem for file in (FOLDER / language).glob("*.md")} == set(TOPICS)
    for topic in list_topics():
        assert topic.lead, topic.slug
        assert topic.sections, topic.slug
        assert all(section.text for section in topic.sections), topic.slug
    assert read_topic("data").title == {"en": "Data", "de": "Daten"}[language]


def test_the_languages_have_the_same_sections() -> None:
    for slug in TOPICS:
        counts = {
            language: (FOLDER / language / f"{slug}.md").read_text(encoding="utf-8").count("\n## ")
            for language in ("en", "de")
        }
        assert counts["en"] == counts["de"], slug


def test_links_between_topics_lead_somewhere() -> None:
    for topic in list_topics():
        for slug in re.findall(r'href="/help/([a-z-]+)', topic.html):
            assert slug in TOPICS, f"{topic.slug} leads to {slug}"


def test_the_codes_are_those_of_the_installer() -> None:
    told = dict(_rows(ROOT / "systemd" / "README.md", r"E\d{3}"))
    for language in ("en", "de"):
        assert set(dict(_rows(FOLDER / language / "troubleshooting.md", r"E\d{3}"))) == set(told)
    assert dict(_rows(FOLDER / "en" / "troubleshooting.md", r"E\d{3}")) == told


def test_the_words_are_those_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("### Words", 1)[1].split("\n## ", 1)[0]
    words = (FOLDER / "en" / "words.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| .*$", readme, flags=re.MULTILINE) == re.findall(r"^\| .*$", words, flags=re.MULTILINE)


def _rows(file: Path, first: str) -> list[tuple[str, str]]:
    return re.findall(rf"^\| ({first}) \| ([^|]*) \|", file.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_markup_in_a_topic_is_shown_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "data.md").write_text("# T\n\nlead\n\n## A\n<script>alert(1)</script> & **bold**\n")
    monkeypatch.setattr(topics, "FOLDER", tmp_path)
    html = topics.read_topic("data").html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<strong>bold</strong>" in html


def test_the_reference_has_every_verb_and_every_call(reference: Reference) -> None:
    commands = {entry.name for entry in reference.commands}
    assert {f"appliance {name}" for name, *_ in VERBS} <= commands
    assert {"appliance backup create", "appliance alerts channel add"} <= commands
    calls = {entry.name for entry in reference.calls}
    assert {"POST /api/datasets", "GET /api/doctor", "POST /api/demo", "POST /invocations", "GET /health"} <= calls
    assert {"POST /models/{model}/predict", "POST /models/{model}/labels", "POST /v1/models/{model}:predict"} <= calls
    parts = (reference.commands, reference.calls, reference.settings)
    assert all(entry.summary and entry.text for part in parts for entry in part)
    assert not [entry.name for entry in reference.calls if "callable" in entry.summary]
    for entries in parts:
        assert len({anchor_of(entry.name) for entry in entries}) == len(entries)


def test_the_reference_has_what_a_verb_says_of_itself_and_what_a_body_holds(reference: Reference) -> None:
    texts_of = {entry.name: " ".join(entry.text.split()) for entry in (*reference.commands, *reference.calls)}
    assert "'prediction' and 'probability_<class>' beside them" in texts_of["appliance predict"]
    assert "exit code 3 when one does not run" in texts_of["appliance status"]
    assert "rows (required) explain (optional)" in texts_of["POST /models/{model}/predict"]
    assert "scope (required)" in texts_of["POST /api/keys"]


def test_the_reference_has_every_setting(reference: Reference) -> None:
    told = {entry.name: entry.text for entry in reference.settings}
    assert set(told) == set(Settings.model_fields)
    assert "default 100000\n  environment APPLIANCE_MAX_ROWS" in told["max_rows"]
    (first, *_) = find("watch_interval_s", list_topics(), reference, LABELS)
    assert first.address == "/help/settings#watch-interval-s"


def test_every_word_has_to_be_there(reference: Reference) -> None:
    (best, *_) = find("Noise FLOOR", list_topics(), None, LABELS)
    assert (best.title, best.address) == ("Drift", "/help/monitoring#drift")
    assert "noise floor" in best.excerpt
    assert find("noise zebra", list_topics(), reference, LABELS) == []
    assert find("  ", list_topics(), reference, LABELS) == []
    (first, *_) = find("backup create", list_topics(), reference, LABELS)
    assert first.address == "/help/cli#appliance-backup-create"


def test_every_page_has_a_topic() -> None:
    addresses = {page.path for page in PAGES}
    assert set(TOPIC_OF) <= addresses
    assert all(topic_of(page.path, page.section) in TOPICS for page in PAGES)
