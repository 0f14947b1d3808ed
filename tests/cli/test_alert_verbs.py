"""appliance alerts: channels whose address is read from a file, tested, listed without it, removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.monitoring.receivers import http_receiver


def test_a_channel_from_its_file_to_its_end(shell: Shell, tmp_path: Path) -> None:
    with http_receiver() as hook:
        secret = tmp_path / "address"
        secret.write_text(f"{hook.url}\n", encoding="utf-8")
        made = shell.ok("alerts", "channel", "add", "ops", "--address-file", str(secret), "--json").json()
        assert made["secret"].startswith("whsec_")
        listed = shell.ok("alerts", "channel", "list")
        assert "5ecret" not in listed.out
        assert f"webhook at http://127.0.0.1:{hook.port}" in listed.out
        assert "arrived" in shell.ok("alerts", "channel", "test", "ops").out
        assert len(hook.received) == 1
        hook.statuses = [410]
        failed = shell.run("alerts", "channel", "test", "ops")
        assert (failed.code, "the receiver answered 410" in failed.out) == (1, True)
        told = shell.ok("alerts", "deliveries", "--json").json()["deliveries"]
        assert [one["state"] for one in told] == ["dead", "sent"]
        dead = shell.ok("alerts", "deliveries", "--only", "dead", "--json").json()["deliveries"]
        shell.ok("alerts", "retry", str(dead[0]["id"]))
    shell.ok("alerts", "channel", "remove", "ops")
    assert shell.ok("alerts", "channel", "list", "--json").json() == {"channels": []}
    assert shell.ok("alerts", "--json").json() == {"alerts": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["channel", "add", "ops"], "use --address-file FILE (or '-')"),
        (["channel", "add", "ops", "--address-file", "/nowhere"], "cannot read /nowhere"),
        (["channel", "test", "ops"], "there are: none yet"),
        (["channel", "remove", "ops"], "there is no channel 'ops'"),
        (["show", "7"], "there is no alert 7; 'appliance alerts' lists them"),
        (["seen", "7"], "there is no alert 7"),
        (["snooze", "7", "8h"], "there is no alert 7"),
        (["snooze", "7", "soon"], "such as 24h"),
        (["retry", "7"], "there is no delivery 7"),
        (["deliveries", "--only", "lost"], "use waiting, sending, sent, skipped, dead"),
    ],
)
def test_what_cannot_be_done_is_said(shell: Shell, arguments: list[str], message: str) -> None:
    done = shell.run("alerts", *arguments)
    assert done.code == 1
    assert message in done.err


def test_an_empty_address_is_refused(shell: Shell) -> None:
    done = shell.run("alerts", "channel", "add", "ops", "--address-file", "-", stdin="\n")
    assert "its first line should be the address" in done.err


def test_a_word_too_many_is_said_as_that(shell: Shell) -> None:
    assert shell.ok("alerts", "list").out == shell.ok("alerts").out
    done = shell.run("models", "list")
    assert (done.code, done.err) == (1, "appliance: appliance models takes no 'list'; see 'appliance models --help'\n")
