"""backup, retention."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from appliance.cli.caller import caller
from appliance.cli.house import open_house
from appliance.cli.output import Flag, Json, print_json, print_table, say, show_time
from appliance.settings import load_settings
from storage.errors import StorageError

app = App(name="backup", help="Backups of everything: create, list, verify, restore.")

PassphraseFile = Annotated[Path | None, Parameter(allow_leading_hyphen=True)]


@app.command(name="create")
def create(*, passphrase_file: PassphraseFile = None, verify: bool = True, json: Json = False) -> int:
    """Write a backup while everything goes on, prove it, and remove the ones that are not kept; 1 when it is not good.

    Args:
        passphrase_file: Seal it with the first line of this file; the passphrase of this host when left out.
        verify: Read it again, check every hash, and score each version's golden rows.
    """
    from appliance.passphrase import find_seal

    backups = open_house().backups
    passphrase = find_seal(load_settings(), passphrase_file)
    made = backups.create(who=caller(), passphrase=passphrase)
    proof = backups.verify(made.name, passphrase=passphrase) if verify else None
    good = proof is None or not proof.problems
    removed = backups.prune() if good else ()
    if json:
        print_json({"backup": made.name, "path": str(made.path), "bytes": made.notes.bytes,
                    "sealed": made.notes.sealed, "proof": proof, "removed": [one.name for one in removed]})  # fmt: skip
    else:
        print(f"{made.path}   {made.notes.bytes / 1e6:.1f} MB{', sealed' if made.notes.sealed else ''}")
        if proof is not None:
            _print_proof(proof.versions, proof.files, proof.problems)
        for one in removed:
            print(f"removed {one.name}")
    return 0 if good else 1


@app.command(name="nightly")
def nightly() -> None:
    """What the timer runs: create, verify, remove what is not kept; a failure opens an alert.

    So does a certificate near its end, which is looked at before.
    With backup_nightly = false none is made, and what is kept no longer goes all the same.
    """
    from datetime import UTC, datetime

    from appliance.expiry import watch_certificate

    house = open_house()
    try:
        watch_certificate(house.settings, datetime.now(UTC))
    except (StorageError, sqlite3.Error) as exc:  # the backup is made all the same
        say(str(exc))
    if house.settings.backup_nightly:
        house.backups.nightly()
        return
    from appliance.retention import Retention

    gone = Retention(house.settings).apply()
    say(f"no backup is made, since backup_nightly = false; what is kept no longer went: {len(gone)}")


@app.command(name="list")
def list_all(*, json: Json = False) -> None:
    """Every backup, newest first."""
    from appliance.backups import Backups, find_folder_problem

    settings = load_settings()  # the state may be what was lost
    found = Backups(settings).list()
    if problem := find_folder_problem(settings):
        say(problem)
    if json:
        print_json({"backups": [{"name": one.name, "path": str(one.path), "notes": one.notes} for one in found]})
        return
    print_table(
        ("backup", "made", "MB", "sealed", "proved", "problem"),
        [
            (
                one.name, show_time(one.created_at), f"{one.notes.bytes / 1e6:.1f}",
                "yes" if one.notes.sealed else "", (one.notes.verified_at or "never")[:19], one.notes.problem,
            )
            for one in found
        ],
    )  # fmt: skip


@app.command(name="verify")
def verify_one(name: str = "latest", *, passphrase_file: PassphraseFile = None, json: Json = False) -> int:
    """Read a backup to its end and prove it; exit code 1 when it is not good.

    Args:
        name: As 'backup list' shows it, 'latest', or a path to a file.
        passphrase_file: Of a sealed one; the passphrase of this host when left out.
    """
    from appliance.backups import Backups
    from appliance.passphrase import find_passphrase

    settings = load_settings()
    proof = Backups(settings).verify(name, passphrase=find_passphrase(settings, passphrase_file))
    if json:
        print_json(proof)
    else:
        _print_proof(proof.versions, proof.files, proof.problems)
    return 1 if proof.problems else 0


@app.command(name="restore")
def restore(
    name: str = "latest", *, passphrase_file: PassphraseFile = None, replace: Flag = False, json: Json = False
) -> None:
    """Put a backup in the place of the state, which must not be in use; what was there is kept beside it.

    Args:
        name: As 'backup list' shows it, 'latest', or a path to a file (of this host or of a lost one).
        passphrase_file: Of a sealed one; the passphrase of this host when left out.
        replace: Also where there is a state already.
    """
    from appliance.backups import Backups
    from appliance.passphrase import find_passphrase
    from appliance.processes.control import standing_still

    settings = load_settings()
    passphrase = find_passphrase(settings, passphrase_file)
    with standing_still(settings):
        done = Backups(settings).restore(name, who=caller(), passphrase=passphrase, replace_state=replace)
    if json:
        print_json(done)
        return
    print(f"restored {done.backup} of {done.created_at}: {done.files} files; {done.versions} versions score as before")
    if done.aside is not None:
        say(f"the state that was there lies in {done.aside}; remove it once you are content")
    if (settings.state / "config.restored.toml").exists():
        say(f"its settings lie in {settings.state / 'config.restored.toml'}, and are not in force")


def retention(*, dry_run: Flag = False, json: Json = False) -> None:
    """Let go what the settings keep no longer: old history, runs, backups, scratch; done every night by itself.

    Args:
        dry_run: Only show what would go.
    """
    from appliance.retention import Retention

    open_house()
    rules = Retention(load_settings())
    found = rules.plan() if dry_run else rules.apply()
    if json:
        print_json({"dry_run": dry_run, "spare": found, "bytes": sum(one.bytes for one in found)})
        return
    print_table(("kind", "what", "MB", "why"), [(o.kind, o.what, f"{o.bytes / 1e6:.1f}", o.why) for o in found])
    said = "would be freed" if dry_run else "were freed"
    print(f"{sum(one.bytes for one in found) / 1e6:.1f} MB {said}")


def _print_proof(versions: int, files: int, problems: tuple[str, ...]) -> None:
    for problem in problems:
        print(f"NOT GOOD: {problem}")
    if not problems:
        print(f"good: {files} files as they were, {versions} versions score their golden rows as in training")
