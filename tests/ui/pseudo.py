"""A made-up language: each message in brackets and with accents, so that what nobody marked shows at once."""

from __future__ import annotations

import re
from pathlib import Path

from babel.messages.catalog import Catalog

from tests.ui.texts import as_mo, extract
from ui.texts import DOMAIN

LANGUAGE = "eo"
"""A language that Quasar has words for and the dashboard has not."""
OPEN, CLOSE = "⟦", "⟧"
_ACCENTS = str.maketrans("aeiounAEIOUN", "àéîöûñÀÉÎÖÛÑ")
_PLACEHOLDER = re.compile(r"(\{[^{}]*\})")
_AWKWARD = "&\"'<b>"
"""What a translation may hold and no page may run or stumble over."""


def pseudo(message: str) -> str:
    """The message in the made-up language; its placeholders stay."""
    parts = _PLACEHOLDER.split(message)
    said = "".join(part if _PLACEHOLDER.fullmatch(part) else part.translate(_ACCENTS) for part in parts)
    return f"{OPEN}{said}{_AWKWARD}{CLOSE}"


def translate(template: Catalog) -> Catalog:
    """The whole template in the made-up language."""
    made = Catalog(locale=LANGUAGE, charset="utf-8", fuzzy=False)
    for one in template:
        if one.id:
            forms = tuple(map(pseudo, one.id)) if isinstance(one.id, tuple | list) else pseudo(str(one.id))
            made.add(one.id, forms, context=one.context)
    return made


def put(folder: Path) -> None:
    """Lay the language where the dashboard looks for it: below ``STATE/locale``."""
    place = folder / LANGUAGE / "LC_MESSAGES"
    place.mkdir(parents=True)
    (place / f"{DOMAIN}.mo").write_bytes(as_mo(translate(extract())))
