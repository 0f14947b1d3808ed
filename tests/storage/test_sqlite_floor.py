"""What we ask of SQLite is known to the oldest one that we run on: RHEL 9 has 3.34.1, Ubuntu 22.04 3.37.2."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATEMENT = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|WHERE|FROM)\b")
NEWER = {
    "3.35": r"\bRETURNING\b|\bDROP COLUMN\b|\bMATERIALIZED\b|\b(sqrt|ln|log\d*|pow|power|exp|ceil|floor|sign|mod)\(",
    "3.37": r"\)\s*STRICT\b",
    "3.38": r"->>?|\b(unixepoch|format)\(",
    "3.39": r"\b(RIGHT|FULL)( OUTER)? JOIN\b|\bIS( NOT)? DISTINCT FROM\b",
    "3.41 or later": r"\b(unhex|octet_length|timediff|concat|concat_ws|string_agg|jsonb\w*|json_pretty)\(",
}
MODULES = sorted(
    str(path.relative_to(ROOT))
    for package in ("storage", "appliance", "flows", "ui")
    for path in (ROOT / package).rglob("*.py")
    if re.search(r"^\s*import sqlite3$", path.read_text(), flags=re.MULTILINE)
)


def statements(module: str) -> Iterator[str]:
    """The texts of a module that are SQL, or parts of it."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.search(node.value):
            yield node.value


@pytest.mark.parametrize("module", MODULES)
def test_no_statement_needs_a_newer_sqlite(module: str) -> None:
    found = [(since, sql) for sql in statements(module) for since, newer in NEWER.items() if re.search(newer, sql)]
    assert found == []


def test_the_statements_are_seen() -> None:
    assert "storage/migrations.py" in MODULES
    assert sum(1 for module in MODULES for _ in statements(module)) > 100
