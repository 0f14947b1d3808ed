"""The commands that programs and people rely on, as they were promised: each name, argument and flag is taken."""

from __future__ import annotations

import shlex

import pytest
from cyclopts import App

from appliance.cli.main import VERBS, build_app
from appliance.reference import list_commands

PROMISED = """
up
up --detach
down
status
status --json
doctor
doctor --json
logs
logs api
demo
data add rides /rides.csv
data add rides /rides.duckdb --query 'SELECT 1' --append --json
data list
data show rides
data versions rides
data diff rides 1 2
apply /model.toml
model create rides --dataset rides --target cnt
model create rides --dataset rides --target cnt --task regression --time ts --exclude a --exclude b
train rides
train rides --wait --json
models
versions rides
card rides
card rides --version 2
deploy rides
deploy rides --version 2
deploy rides --canary 10
deploy rides --shadow
promote rides
rollback rides
predict rides /rides.csv
predict rides /rides.csv --out /out.csv
drift rides
drift rides --window 24h --json
quality rides
quality rides --json
latency rides
latency rides --json
drift-compare /old.csv /new.csv
drift-compare /old.csv /new.csv --json
label rides /labels.csv
key create app --scope predict
key create app --scope admin --json
key list
key revoke app
user add ann --role viewer
user passwd ann
user list
backup create
backup list
backup verify
backup restore
bundle export rides
bundle import /rides.bundle
audit
audit verify
"""
READING = (
    "status", "load", "doctor", "data list", "data show", "data versions", "data diff", "data rules", "data rejected",
    "data feeds", "models", "versions", "card", "jobs list", "jobs log", "drift", "data-quality", "skew", "quality",
    "latency", "drift-compare", "label-history", "key list", "user list", "audit", "audit verify", "backup list",
    "alerts", "alerts show", "retention",
)  # fmt: skip


@pytest.fixture(scope="module")
def app() -> App:
    return build_app()


@pytest.mark.parametrize("line", PROMISED.split("\n")[1:-1])
def test_a_promised_command_is_taken(app: App, line: str) -> None:
    words = shlex.split(line)
    command, bound, *_ = app.parse_args(words, print_error=False, exit_on_error=False)
    assert callable(command)
    assert bound is not None


@pytest.mark.parametrize("verb", READING)
def test_whatever_reads_also_prints_json(verb: str) -> None:
    text = next(entry.text for entry in list_commands() if entry.name == f"appliance {verb}")
    assert "--json" in text


def test_every_promised_verb_is_a_verb() -> None:
    assert {line.split()[0] for line in PROMISED.split("\n")[1:-1]} <= {name for name, *_ in VERBS}
