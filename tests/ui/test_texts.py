"""Every text is marked, the template is the code's, and translations are whole, keep placeholders and are shipped."""

from __future__ import annotations

import string
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message

from appliance.settings import Settings
from tests.ui import pseudo
from tests.ui.dashboard import ROOT
from tests.ui.texts import TEMPLATE, as_mo, as_text, extract, read, translations
from tests.ui.unmarked import UI, find_unmarked, modules
from ui import texts
from ui.app import speak
from ui.shell import SCRIPT


@pytest.fixture(autouse=True)
def _english_afterwards() -> Iterator[None]:
    yield
    texts.install("en")


def test_no_text_is_left_unmarked() -> None:
    found = {
        str(file.relative_to(UI)): find_unmarked(file.read_text(encoding="utf-8"), file.relative_to(UI).as_posix())
        for file in modules()
    }
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "code",
    [
        'text("Rows")',
        'figure(_("Rows"), number(rows), note=f"version {version}")',
        'notice(message or "Look below.")',
        'Column(name="rows", label="Rows", numeric=True)',
        'facts((("Rows", number(rows)),))',
        '_MODES = {"replace": "New version with these rows alone"}',
        'return "No column moved." if still else _("Some moved.")',
        'ng.button("Rows").props("flat")\nraise BadInput(f"{name} is no name")',
        'tell("{name} is gone".format(name=name))',
        'text(_(f"{count} rows"))',
        'text(_("Rows" if many else "Row"))',
        'ng.html(f"<b>{icon}</b><span>Rows</span>")',
        'markup = f\'<input name="{name}" aria-label="File to add">\'',
        'ng.html(f"<b>{escape(_("Rows"))}</b>")' if sys.version_info >= (3, 12) else "ng.html(f\"<b>{_('Rows')}</b>\")",
    ],
)
def test_an_unmarked_text_is_found(code: str) -> None:
    assert find_unmarked(code, "pages/example.py")


@pytest.mark.parametrize(
    "code",
    [
        'text(_("Rows"), "muted small")',
        'Column(name="rows", label=_("Rows"))',
        'link(model.name, f"/models/{model.name}", "strong wrap-any")',
        'PAGE = Page(path="/models/{name}", title="{name}", cli="appliance versions {name}")',
        'text(ngettext("{count} row", "{count} rows", n).format(count=n))',
    ],
)
def test_what_is_marked_or_no_language_is_left_alone(code: str) -> None:
    assert find_unmarked(code, "pages/example.py") == []


def test_the_template_is_current() -> None:
    assert TEMPLATE.read_text(encoding="utf-8") == as_text(extract()), "python -m tests.ui.texts"


def test_the_script_finds_its_messages_in_the_page(tmp_path: Path) -> None:
    pseudo.put(tmp_path)
    texts.install(pseudo.LANGUAGE, tmp_path)
    said = {str(one.id) for one in extract() if ("ui/assets/dashboard.js", 1) in one.locations}
    assert len(said) > 5
    assert texts.script_messages(SCRIPT.read_text(encoding="utf-8")) == {one: pseudo.pseudo(one) for one in said}


def test_forms_contexts_and_english() -> None:
    assert texts.ngettext("{count} row", "{count} rows", 1) == "{count} row"
    assert texts.ngettext("{count} row", "{count} rows", 0) == "{count} rows"
    assert texts.pgettext("of a version", "From") == "From"
    assert texts.language() == "en"


def test_a_language_is_chosen_by_the_setting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(state=tmp_path, ui_language=pseudo.LANGUAGE)
    speak(settings)
    assert f"there is no translation into {pseudo.LANGUAGE}" in caplog.text
    assert texts.language() == "en"
    pseudo.put(settings.layout.locale)
    speak(settings)
    assert texts.language() == pseudo.LANGUAGE
    assert texts._("Models") == pseudo.pseudo("Models")
    assert pseudo.LANGUAGE in texts.list_languages(settings.layout.locale)
    assert texts._("nobody says this") == "nobody says this"


@pytest.mark.parametrize("file", translations(), ids=lambda file: file.parts[-3])
def test_a_translation_that_is_shipped_is_whole(file: Path) -> None:
    template, catalog = extract(), read(file)
    assert as_text(catalog) == file.read_text(encoding="utf-8"), "python -m tests.ui.texts"
    assert {(one.id, one.context) for one in catalog if one.id} == {(one.id, one.context) for one in template if one.id}
    assert [one.id for one in catalog if one.fuzzy and one.id] == []
    assert list(differing(catalog)) == []
    assert file.with_suffix(".mo").read_bytes() == as_mo(catalog), "python -m tests.ui.texts"


def test_a_translation_that_lost_something_is_noticed() -> None:
    catalog = Catalog(locale="de")
    catalog.add("until {when}", "bis {wann}")
    catalog.add(("{count} row", "{count} rows"), ("eine Zeile", "{count} Zeilen"))
    catalog.add(("{count} model", "{count} models"), ("{count} Modell", ""))
    catalog.add("Models", "")
    assert [one.split(":")[0] for one in differing(catalog)] == ["until {when}", "{count} model", "Models"]


def differing(catalog: Catalog) -> Iterator[str]:
    """Messages without a translation, or with other placeholders; for one thing, the number may be a word."""
    for one in catalog:
        if not one.id or one.context == "time axis":  # a day may be before its month or after it, and a figure
            continue
        said = one.string if isinstance(one.string, tuple | list) else (one.string,)
        wanted, forms = _wanted(one), [placeholders([str(form)]) for form in said]
        left = wanted - {"count", "rows"} if one.pluralizable else wanted
        if not all(said) or forms[-1] != wanted or any(not left <= form <= wanted for form in forms):
            yield f"{_first(one)}: {said}"


def _wanted(one: Message) -> set[str]:
    return placeholders(one.id if isinstance(one.id, tuple | list) else [one.id])


def _first(one: Message) -> str:
    return str(one.id[0] if isinstance(one.id, tuple | list) else one.id)


def placeholders(messages: Iterable[str]) -> set[str]:
    return {
        name + (f"!{how}" if how else "") + (f":{spec}" if spec else "")
        for message in messages
        for _text, name, spec, how in string.Formatter().parse(message)
        if name is not None
    }


def test_a_wheel_holds_what_translations_need(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    files = [TEMPLATE, *translations(), *(file.with_suffix(".mo") for file in translations())]
    assert {file.relative_to(ROOT).as_posix() for file in files} <= held
