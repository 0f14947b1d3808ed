"""alerts: what changed for the worse, who has seen it, and the channels that it goes out through."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from appliance.cli.caller import caller
from appliance.cli.house import open_house
from appliance.cli.output import Flag, Json, print_json, print_table, show_time
from appliance.errors import BadInput
from appliance.monitoring.message import NAMES
from appliance.monitoring.spans import parse_span

File = Annotated[Path | None, Parameter(allow_leading_hyphen=True)]

app = App(name="alerts", help="What changed for the worse, open alerts first.")
channel = App(name="channel", help="Where alerts go: add, list, test, remove.")
app.command(channel)


@app.command(name="list")
@app.default
def alerts(*, open_only: Flag = False, json: Json = False) -> None:
    """What changed for the worse, open alerts first.

    Args:
        open_only: Leave out what is over.
    """
    found = open_house().monitoring.alerts(open_only=open_only)
    if json:
        print_json({"alerts": [alert.to_json() for alert in found]})
        return
    print_table(
        ("alert", "model", "about", "state", "since", "until", "message"),
        [
            (
                a.id, a.model, a.subject, a.state, show_time(a.opened_at),
                show_time(a.closed_at) if a.closed_at else "", a.message,
            )
            for a in found
        ],
    )  # fmt: skip


@app.command
def show(alert: int, *, json: Json = False) -> None:
    """One alert: what happened, what its channels were told, and what to do.

    Args:
        alert: Its number.
    """
    house = open_house()
    facts = house.monitoring.alert(alert)
    found = facts.alert
    if json:
        print_json(facts.to_json())
        return
    over = f"over since {show_time(found.closed_at)}" if found.closed_at else "open"
    print(f"alert {found.id}: {found.state}, {found.about}, {NAMES.get(found.kind, found.kind)}; {over}")
    print(f"  {found.message}")
    print(f"  since      {show_time(found.opened_at)}")
    if facts.judged is not None:
        window = facts.judged.window
        print(f"  judged     version {facts.judged.version}, {show_time(window.start)} to {show_time(window.end)}")
    if found.acknowledged_by:
        print(f"  seen by    {found.acknowledged_by}")
    if facts.snoozed_until:
        print(f"  quiet      until {show_time(facts.snoozed_until)}")
    for one in facts.deliveries:
        print(f"  told       {one.channel}: {one.event}, {one.state}{f' ({one.reason})' if one.reason else ''}")
    print(f"  what to do {facts.advice}")
    print(f"  the page   {house.settings.ui_url}/alerts/{found.id}")


@app.command
def seen(alert: int) -> None:
    """Note that you have seen an alert: channels that were not told yet are not told any more.

    Args:
        alert: Its number.
    """
    noted = open_house().monitoring.acknowledge(alert, who=caller())
    print(f"alert {alert} was seen by {noted.acknowledged_by}")


@app.command
def snooze(alert: int, span: str) -> None:
    """Keep an alert's subject quiet; what still holds then is told again.

    Args:
        alert: Its number.
        span: Such as 90m, 8h or 7d.
    """
    open_house().channels.snooze(alert, parse_span(span), who=caller())
    print(f"quiet for {span}; the alert stays open while its state holds")


@app.command
def deliveries(*, only: str | None = None, json: Json = False) -> None:
    """The newest messages to channels, and what became of them.

    Args:
        only: waiting, sending, sent, skipped or dead.
    """
    found = open_house().channels.deliveries(state=only)
    if json:
        print_json({"deliveries": found})
        return
    print_table(
        ("delivery", "channel", "alert", "event", "state", "attempts", "made", "why"),
        [(d.id, d.channel, d.alert, d.event, d.state, d.attempts, show_time(d.created_at), d.reason) for d in found],
    )


@app.command
def retry(delivery: int) -> None:
    """Try a message again that was given up.

    Args:
        delivery: Its number, from 'appliance alerts deliveries --only dead'.
    """
    open_house().channels.retry(delivery, who=caller())
    print(f"delivery {delivery} is tried again")


@channel.command(name="add")
def add_channel(
    name: str, *, address_file: File = None, secret_file: File = None, least: str = "warn", json: Json = False
) -> None:
    """Add a channel; its address is a secret, so it is read from a file, standard input or the terminal.

    An address is https://… for a webhook that is signed, or one that apprise knows: mailtos://USER:PASSWORD@HOST?to=A,
    slack://A/B/C, workflows://… for Teams. The secret of a webhook is printed: the one time that it is seen.

    Args:
        name: What to call it.
        address_file: Read the address from the first line of this file; '-' is standard input.
        secret_file: Sign a webhook with the whsec_ secret in the first line of this file, instead of a new one.
        least: warn, or alarm to be told of alarms alone.
    """
    house = open_house()
    address = _first_line(address_file) if address_file else _ask("address: ")
    secret = _first_line(secret_file) if secret_file else None
    made = house.channels.add(name, address, who=caller(), secret=secret, least=least)
    if json:
        print_json(made)
        return
    print(f"channel {name}: {made.channel.hint}; try it with 'appliance alerts channel test {name}'")
    if made.secret:
        print(f"its secret, for the receiver to check signatures with: {made.secret}")


@channel.command(name="list")
def list_channels(*, json: Json = False) -> None:
    """Every channel, without its address."""
    found = open_house().channels.list()
    if json:
        print_json({"channels": found})
        return
    print_table(
        ("channel", "where", "told from", "added", "by"),
        [(c.name, c.hint, c.least, show_time(c.created_at), c.created_by) for c in found],
    )


@channel.command(name="test")
def test_channel(name: str, *, json: Json = False) -> int:
    """Send a test message now; exit code 1 when it does not arrive."""
    told = open_house().channels.test(name, who=caller())
    arrived = told.state == "sent"
    if json:
        print_json(told)
    else:
        print(f"the test message arrived at {name}" if arrived else f"it did not arrive: {told.reason}")
    return 0 if arrived else 1


@channel.command(name="remove")
def remove_channel(name: str) -> None:
    """Forget a channel, and what was on its way through it."""
    open_house().channels.remove(name, who=caller())
    print(f"the channel {name} is removed")


def _first_line(file: Path) -> str:
    try:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot read {file}: {exc}") from exc
    if not text.strip():
        raise BadInput(f"{file} is empty; its first line should be the address or the secret")
    return text.splitlines()[0].strip()


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        raise BadInput("no terminal to ask for the address; use --address-file FILE (or '-')")
    return getpass.getpass(question)
