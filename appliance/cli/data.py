"""data add, refresh, watch, feeds, rules, rejected, list, show, versions, diff."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from appliance.cli.caller import caller
from appliance.cli.house import open_house
from appliance.cli.output import Flag, Json, or_dash, print_json, print_table, show_time, show_value
from appliance.column_types import parse_types
from appliance.errors import BadInput
from appliance.feeds import FeedInfo
from appliance.findings import Finding
from appliance.intake import Intake
from appliance.monitoring.spans import State
from appliance.orders import Ingest

app = App(name="data", help="Datasets: add tables, look at them, compare their versions.")


@app.command
def add(  # noqa: PLR0913  (a verb's options)
    name: str,
    source: str,
    *,
    query: str | None = None,
    prepare: str | None = None,
    sheet: str | None = None,
    delimiter: str | None = None,
    append: Flag = False,
    replace: Flag = False,
    evolve: Flag = False,
    target: str | None = None,
    type_: Annotated[tuple[str, ...], Parameter(name="--type", negative="")] = (),
    json: Json = False,
) -> None:
    """Read a table into a new version of a dataset.

    Args:
        name: The dataset; made when it is new.
        source: CSV, TSV, Parquet, NDJSON, JSON, Arrow or Excel (a glob, a directory, .gz, .zst), a DuckDB or SQLite
            file with --query, a Delta table, http://…, https://…, postgresql://… with --query.
        query: SQL that picks the rows; a file is the table 'source' in it.
        prepare: DuckDB SQL over the rows that were picked, as the table 'source'; it is stored, and a refresh does it
            again.
        sheet: The sheet of a workbook; the first with rows when left out.
        delimiter: What separates the columns of a CSV file; found out when left out.
        append: Add to the rows that are there.
        replace: Replace the rows that are there; what happens without --append.
        evolve: With --append: take columns that the dataset lacks, and widen int64 to float64, date to datetime.
        target: A column that must be there and have at least two values.
        type_: COLUMN=TYPE, as often as needed: read a column as string, bool, int64, float64, date or datetime. It is
            kept among the dataset's rules, so that later ingests do it too; a row with another value is rejected.
    """
    if append and replace:
        raise BadInput("--append and --replace exclude each other; choose one")
    if evolve and not append:
        raise BadInput("--evolve goes with --append; rows that are replaced may have any columns")
    intake = Intake(
        source=source, query=query, prepare=prepare, sheet=sheet, delimiter=delimiter, append=append, evolve=evolve,
        target=target, types=parse_types(type_),
    )  # fmt: skip
    _say_added(open_house().datasets.take_in(name, intake, who=caller()), json=json)


@app.command
def refresh(name: str, *, evolve: Flag = False, schedule: str | None = None, json: Json = False) -> None:
    """Read a dataset's source again, with the same SQL, into a new version; nothing happens when it did not change.

    Args:
        name: The dataset.
        evolve: Take other columns than those that are there.
        schedule: Not now, but whenever this cron expression (five fields, UTC) says, like '0 6 * * *'; the runner
            does it. 'appliance data feeds --stop NAME' ends it.
    """
    house = open_house()
    if schedule is not None:
        _say_fed(house.feeds.schedule(name, schedule, evolve=evolve, who=caller()), json=json)
        return
    outcome = house.datasets.refresh(name, who=caller(), evolve=evolve)
    if isinstance(outcome, Ingest):
        _say_added(outcome, json=json)
    elif json:
        print_json({"dataset": name, "version": outcome.version, "unchanged": True})
    else:
        print(f"dataset {name} stays at version {outcome.version}: {outcome.source} did not change")


@app.command
def watch(  # noqa: PLR0913  (a verb's options)
    name: str,
    folder: Path,
    *,
    query: str | None = None,
    prepare: str | None = None,
    sheet: str | None = None,
    delimiter: str | None = None,
    evolve: Flag = False,
    target: str | None = None,
    again: Flag = False,
    json: Json = False,
) -> None:
    """Append each file that comes into a folder, exactly once; the runner looks every two seconds.

    A file is known by its name and by what it holds: one that is renamed or copied is not appended a second time.

    Args:
        name: The dataset; made with the first file.
        folder: Files below it count as well; names that begin with '.' or '_', or end as programs name what they still
            write (.part, .tmp, .crdownload), do not. Write elsewhere on the same disk and move the file in, or let it
            be for two seconds.
        query: SQL that picks each file's rows, the table 'source'.
        prepare: DuckDB SQL over the rows that were picked, the table 'source'.
        sheet: The sheet of a workbook; the first with rows when left out.
        delimiter: What separates the columns of a CSV file; found out when left out.
        evolve: Take columns that the dataset lacks, and widen int64 to float64, date to datetime.
        target: A column that must be there.
        again: Append the rows of a file that was read and then changed under its name; else it is told and left.
    """
    intake = Intake(
        source=str(folder), query=query, prepare=prepare, sheet=sheet, delimiter=delimiter, evolve=evolve, target=target
    )
    _say_fed(open_house().feeds.watch(name, intake, again=again, who=caller()), json=json)


@app.command
def feeds(*, stop: str | None = None, json: Json = False) -> None:
    """Datasets that are refreshed by a schedule or watch a folder, and how that went.

    Args:
        stop: A dataset whose feed to end; its rows stay.
    """
    house = open_house()
    if stop is not None:
        house.feeds.stop(stop, who=caller())
    found = house.feeds.list()
    if json:
        print_json({"feeds": found})
        return
    print_table(
        ("dataset", "feed", "last", "next", "what came of it"),
        [
            (
                one.dataset, one.feed.folder or one.feed.schedule,
                show_time(one.status.ran_at) if one.status.ran_at else "-",
                show_time(one.next_at) if one.next_at else "-", one.status.message,
            )
            for one in found
        ],
    )  # fmt: skip


@app.command
def rules(name: str, file: Path | None = None, *, clear: Flag = False, json: Json = False) -> None:
    """Show or declare what every ingest into a dataset is held against; rows that break a rule are kept apart.

    Args:
        name: The dataset; it need not be there yet.
        file: RULES.toml: a table [columns.NAME] with type, required, min, max, values, regex, unique, max_null_share;
            max_rejected_share above them (0.5 when left out).
        clear: Take the rules away.
    """
    datasets = open_house().datasets
    if clear and file is not None:
        raise BadInput("a file and --clear exclude each other; choose one")
    if clear or file is not None:
        found = datasets.declare_rules(name, None if file is None else _read(file), who=caller())
    else:
        found = datasets.rules(name)
    if json:
        print_json({"dataset": name, "rules": found})
        return
    if found is None:
        print(f"dataset {name} has no rules")
        return
    print(
        f"dataset {name}: an ingest is refused when more than {found.max_rejected_share:.0%} of its rows are rejected"
    )
    for column, rule in found.columns.items():
        told = msgspec.to_builtins(rule)
        print(f"  {column}: {', '.join(f'{key} {value}' for key, value in told.items())}")


@app.command
def rejected(name: str, *, version: int | None = None, rows: int = 20, json: Json = False) -> None:
    """The rows that the dataset's rules rejected at one ingest, with the reasons.

    Args:
        name: The dataset.
        version: The newest when left out.
        rows: How many to show.
    """
    datasets = open_house().datasets
    shown = datasets.show(name, version)
    frame = datasets.rejected(name, shown.version, rows=max(rows, 1))
    if json:
        print_json({"dataset": name, "version": shown.version, "rejected": shown.rejected, "rows": frame.to_dicts()})
        return
    print(f"dataset {name}, version {shown.version}: {shown.rejected} rows were rejected")
    if frame.width:
        print_table(("row", "reason", *frame.columns[2:]), frame.rows())


def _say_fed(info: FeedInfo, *, json: bool) -> None:
    if json:
        print_json(info)
    elif info.next_at is None:
        print(f"dataset {info.dataset} watches {info.feed.folder}")
    else:
        print(f"dataset {info.dataset} is refreshed by {info.feed.schedule}, next at {show_time(info.next_at)}")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"{file} cannot be read: {exc}") from exc


def _say_added(ingest: Ingest, *, json: bool) -> None:
    if json:
        print_json(ingest)
        return
    print(f"dataset {ingest.dataset}, version {ingest.version}: {ingest.rows} rows")
    _say_found(ingest.warnings)


def _say_found(findings: Sequence[Finding]) -> None:
    for finding in findings:
        print(f"  {f'{finding.column}: ' if finding.column else ''}{finding.message}")


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """The newest version of every dataset."""
    snapshots = open_house().datasets.list()
    if json:
        print_json({"datasets": snapshots})
        return
    print_table(
        ("dataset", "version", "rows", "columns", "added", "by", "from"),
        [(s.dataset, s.version, s.rows, len(s.columns), show_time(s.added_at), s.who, s.source) for s in snapshots],
    )


@app.command
def show(name: str, *, version: int | None = None, json: Json = False) -> None:
    """One version of a dataset: its columns in figures, and what is suspicious about it.

    Args:
        name: The dataset.
        version: The newest when left out.
    """
    datasets = open_house().datasets
    snapshot = datasets.show(name, version)
    columns, findings = datasets.profile(name, snapshot.version), datasets.findings(name, snapshot.version)
    if json:
        print_json({"snapshot": snapshot, "columns": columns, "warnings": findings})
        return
    print(f"dataset {snapshot.dataset}, version {snapshot.version}: {snapshot.rows} rows, from {snapshot.source}")
    print_table(
        ("column", "type", "missing", "distinct", "minimum", "median", "maximum", "mean"),
        [
            (
                c.name, c.dtype, c.missing, f"{'' if c.distinct_exact else '~'}{c.distinct}", show_value(c.minimum),
                or_dash(c.quantiles[2] if c.quantiles else None), show_value(c.maximum), or_dash(c.mean),
            )
            for c in columns
        ],
    )  # fmt: skip
    _say_found(findings)


@app.command
def versions(name: str, *, json: Json = False) -> None:
    """Every version of a dataset, newest first."""
    snapshots = open_house().datasets.versions(name)
    if json:
        print_json({"versions": snapshots})
        return
    print_table(
        ("version", "rows", "how", "added", "by", "from"),
        [(s.version, s.rows, s.mode, show_time(s.added_at), s.who, s.source) for s in snapshots],
    )


@app.command
def diff(name: str, old: int, new: int, *, json: Json = False) -> None:
    """What changed from one version of a dataset to another."""
    change = open_house().datasets.diff(name, old, new)
    if json:
        print_json(change)
        return
    print(f"rows {change.rows[0]} -> {change.rows[1]}")
    rows: list[tuple[str, str, str, str]] = [(c.name, "added", "", str(c.dtype)) for c in change.added]
    rows += [(c.name, "removed", str(c.dtype), "") for c in change.removed]
    for c in change.changed:
        if c.dtype[0] != c.dtype[1]:
            rows.append((c.name, "type", str(c.dtype[0]), str(c.dtype[1])))
        if c.missing_share[0] != c.missing_share[1]:
            rows.append((c.name, "missing", f"{c.missing_share[0]:.2%}", f"{c.missing_share[1]:.2%}"))
        if c.mean[0] != c.mean[1]:
            rows.append((c.name, "mean", or_dash(c.mean[0]), or_dash(c.mean[1])))
    print_table(("column", "what", f"version {old}", f"version {new}"), rows)
    moved = [column for column in change.distributions if column.state in {State.WARN, State.ALARM}]
    few = all(column.state is State.NOT_ENOUGH_DATA for column in change.distributions)
    print(
        "too few rows to judge distributions"
        if few
        else f"distributions: {change.drift.state}; {len(moved)} of {len(change.distributions)} columns moved"
    )
    for column in moved:
        print(f"  {column.sentence}")
