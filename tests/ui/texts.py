"""The dashboard's texts as translators get them: ``python -m tests.ui.texts`` brings everything up to date.

It writes ``ui/locale/dashboard.pot`` from the code, takes new messages into each ``dashboard.po`` (near ones are
marked fuzzy, which counts as not translated), and compiles each into the ``dashboard.mo`` beside it, which is read.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from ui.texts import DOMAIN, LOCALE

UI = LOCALE.parent
TEMPLATE = LOCALE / f"{DOMAIN}.pot"
KEYWORDS = {"_": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
_LEFT_OUT = ("POT-Creation-Date:", "PO-Revision-Date:", "Generated-By:", "EMAIL@ADDRESS", "LL@li.org")
_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)
_METHODS = [("**.py", "python"), ("assets/**.js", "javascript")]


def extract() -> Catalog:
    """Every message of the code, with the files it stands in."""
    catalog = Catalog(project="mlops-appliance", version="dashboard", charset="utf-8", fuzzy=False)
    for file, _line, message, comments, context in extract_from_dir(
        UI, method_map=_METHODS, keywords=KEYWORDS, comment_tags=("Translators:",), strip_comment_tags=True
    ):
        catalog.add(message, locations=[(f"ui/{file}", 1)], auto_comments=comments, context=context)
    return catalog


def as_text(catalog: Catalog) -> str:
    """The catalog as it lies in a file: without line numbers and dates, which change with every edit elsewhere."""
    for one in catalog:
        # A per cent sign is no directive here, and a time axis has its own: ``msgfmt -c`` must not compare them.
        one.flags -= {"python-format"} | ({"python-brace-format"} if one.context == "time axis" else set())
    out = io.BytesIO()
    write_po(out, catalog, width=110, include_lineno=False, ignore_obsolete=True)
    lines = out.getvalue().decode().splitlines(keepends=True)
    head = lines.index('msgid ""\n')
    return "".join(line for line in lines[head:] if not any(one in line for one in _LEFT_OUT))


def as_mo(catalog: Catalog) -> bytes:
    """The catalog as the standard library reads it; what is marked fuzzy is left out."""
    out = io.BytesIO()
    catalog.creation_date = catalog.revision_date = _NO_DATE  # else the moment of the compilation, in each file
    write_mo(out, catalog)
    return out.getvalue()


def read(file: Path) -> Catalog:
    """A translation, or the template."""
    with file.open("rb") as opened:
        return read_po(opened, locale=None if file == TEMPLATE else file.parts[-3])


def translations() -> list[Path]:
    """The ``dashboard.po`` of each language."""
    return sorted(LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def main() -> None:
    """Write what changed."""
    template = extract()
    TEMPLATE.write_text(as_text(template), encoding="utf-8")
    for file in translations():
        catalog = read(file)
        catalog.update(template)
        file.write_text(as_text(catalog), encoding="utf-8")
        file.with_suffix(".mo").write_bytes(as_mo(catalog))


if __name__ == "__main__":
    main()
