"""Rules as they are shown and edited: the text of the editor is read back as the same rules."""

from __future__ import annotations

from storage.rules import parse_rules
from ui.pages.dataset_rules import as_toml, in_words

TOML = """
max_rejected_share = 0.25
[columns."a \\"quoted\\" näme"]
type = "string"
required = true
regex = '[A-Z]{2}-\\d+'
values = ["AB-1", "CD-2"]
[columns.n]
min = -1.5
max = 10
unique = true
max_null_share = 0.1
[columns.at]
min = 2026-01-01
[columns."grin 😀\\u007f"]
values = ["😀", "b"]
[columns.endless]
max = inf
min = -inf
"""


def test_the_editor_reads_back_what_it_shows() -> None:
    rules = parse_rules(TOML)
    assert parse_rules(as_toml(rules)) == rules


def test_rules_in_words() -> None:
    columns = parse_rules(TOML).columns
    assert in_words(columns["n"]) == (
        "is at least -1.5, is at most 10, stands in no other row, is missing in at most 10.0 % of the rows"
    )
    assert in_words(columns["at"]) == "is at least 2026-01-01"
