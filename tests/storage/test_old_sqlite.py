"""Statements keep to what SQLite 3.34 knows: Python takes the host's library, and RHEL and Rocky 9 have that one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEWER = {
    r"\bRETURNING\b": "3.35", r"\bDROP COLUMN\b": "3.35", r"\bMATERIALIZED\b": "3.35", r"\)\s*STRICT\b": "3.37",
    r"\bON CONFLICT DO UPDATE\b": "3.35",
    r"->>": "3.38", r"\bunixepoch\(": "3.38", r"\b(RIGHT|FULL)\s+(OUTER\s+)?JOIN\b": "3.39",
    r"\bIS( NOT)? DISTINCT FROM\b": "3.39", r"\b(sqrt|ln|log\d*|pow|power|exp|ceil|floor|sign|mod)\(": "3.35",
    r"\b(unhex|octet_length|timediff|concat|concat_ws|string_agg|jsonb\w*|json_pretty)\(": "3.41",
}  # fmt: skip
STATEMENT = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER)\b")


def statements() -> list[tuple[str, str]]:
    """Each text of the modules that talk to SQLite that has a statement in it, with where it stands."""
    found = []
    packages = ("storage", "appliance", "flows", "ui")
    for path in sorted(path for package in packages for path in ROOT.glob(f"{package}/**/*.py")):
        source = path.read_text(encoding="utf-8")
        if "sqlite3" not in source or "duckdb" in source:
            continue
        found += [
            (f"{path.relative_to(ROOT)}:{node.lineno}", node.value)
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.search(node.value)
        ]
    return found


def test_there_are_statements_to_look_at() -> None:
    assert len(statements()) > 150


@pytest.mark.parametrize(("pattern", "version"), NEWER.items())
def test_no_statement_needs_a_newer_sqlite(pattern: str, version: str) -> None:
    assert [where for where, text in statements() if re.search(pattern, text)] == [], f"needs SQLite {version}"


def test_having_comes_after_group_by() -> None:
    """Alone it needs 3.39."""
    texts = [(where, text) for where, text in statements() if re.search(r"\bHAVING\b", text)]
    assert [where for where, text in texts if not re.search(r"\bGROUP BY\b.*\bHAVING\b", text, re.DOTALL)] == []
