"""Every text that the dashboard's code shows goes through here, in the one language of the process.

The messages are whole English sentences at the place where they are shown: ``_("until {when}").format(when=…)``. What
is looked up is the sentence before it is filled in. ``install`` comes before any page is imported, so that a table of
labels at the head of a module is in the right language, too.
"""

from __future__ import annotations

import gettext
import re
from pathlib import Path

DOMAIN = "dashboard"
LOCALE = Path(__file__).parent / "locale"
"""``dashboard.pot``, and a folder a language."""
ENGLISH = "en"

_SCRIPT_MESSAGE = re.compile(r'\b_\("((?:[^"\\]|\\.)*)"')


class NoTranslation(LookupError):
    """There is none into the language that was asked for."""


class _Spoken:
    """What ``install`` chose."""

    language: str = ENGLISH
    catalog: gettext.NullTranslations = gettext.NullTranslations()


def install(language: str, *folders: Path) -> None:
    """Speak this language from now on.

    Args:
        language: As in the setting ``ui_language``: ``en``, ``de``, ``pt_BR``.
        folders: Where ``LANG/LC_MESSAGES/dashboard.mo`` is looked for before the ones that come with the dashboard.

    Raises:
        NoTranslation: There is none; what was spoken before is spoken on.
    """
    catalog = gettext.NullTranslations()
    if language != ENGLISH:
        files = (folder / language / "LC_MESSAGES" / f"{DOMAIN}.mo" for folder in (*folders, LOCALE))
        file = next((one for one in files if one.is_file()), None)
        if file is None:
            known = ", ".join(list_languages(*folders))
            raise NoTranslation(f"ui_language: there is no translation into {language}; there are: {known}")
        with file.open("rb") as opened:
            catalog = gettext.GNUTranslations(opened)
    _Spoken.language, _Spoken.catalog = language, catalog


def list_languages(*folders: Path) -> list[str]:
    """English, and what there is a translation into."""
    found = {one.parts[-3] for folder in (*folders, LOCALE) for one in folder.glob(f"*/LC_MESSAGES/{DOMAIN}.mo")}
    return [ENGLISH, *sorted(found - {ENGLISH})]


def language() -> str:
    """The language as HTML writes it: ``en``, ``pt-BR``."""
    return _Spoken.language.replace("_", "-")


def _(message: str) -> str:
    """The message in the language of the process."""
    return _Spoken.catalog.gettext(message)


def ngettext(one: str, many: str, count: float) -> str:
    """The message for so many; some languages have more forms than two."""
    return _Spoken.catalog.ngettext(one, many, int(count))


def pgettext(context: str, message: str) -> str:
    """The message where English has one word for two things; ``context`` tells the translator which is meant."""
    return _Spoken.catalog.pgettext(context, message)


def script_messages(script: str) -> dict[str, str]:
    """What a script says through ``_("…")`` in the browser, and how the language of the process says it."""
    messages = (found.replace('\\"', '"') for found in _SCRIPT_MESSAGE.findall(script))
    return {message: _(message) for message in messages if _(message) != message}
