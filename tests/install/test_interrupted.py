"""What was interrupted is finished, or taken back, by running the installer again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.host import STATE, Host, installed, pretended

pytestmark = pytest.mark.timeout(600)

INTERRUPT = """
import shutil, sys
from pathlib import Path
from appliance.processes.release_journal import Files
from storage.layout import Layout

state, base = map(Path, sys.argv[1:])
files = Files(Layout(root=state), base)
after = files.current
journal = files.begin("old", after, ran=False, began_at="2026-11-30T10:00:00+00:00")
files.clear_next()
shutil.copyfile(state / "appliance.db", files.next / "appliance.db")
files.flip("old")
journal = files.decide(journal, ["appliance.db"])
files.place(journal)
files.flip(after)
"""
"""An upgrade from the release ``old`` that ends after its last flip, before it was final."""
JOURNAL = f"{STATE}/upgrade/journal.json"
SAID = "Taking back a change of the release that was interrupted"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with pretended(tmp_path) as host:
        host.place_release()
        yield host


def interrupt_upgrade(host: Host) -> str:
    """The name of the release that it put in the place of ``old``."""
    installed(host)
    host.ok("/opt/appliance/bin/appliance key create before --scope read")
    (host.folder / "interrupt.py").write_text(INTERRUPT)
    host.ok(
        "cp -R $(readlink -f /opt/appliance/current) /opt/appliance/releases/old;"
        f" /opt/appliance/current/venv/bin/python {host.folder}/interrupt.py {STATE} /opt/appliance"
    )
    return current(host)


def current(host: Host) -> str:
    return host.ok("basename $(readlink /opt/appliance/current)").strip()


def keys(host: Host) -> str:
    return host.ok("/opt/appliance/bin/appliance key list")


def fail_once(host: Host, program: str) -> None:
    """A program of systemd's that fails the first time."""
    path = host.folder / "bin" / program
    path.rename(path.with_name(f"{program}-well"))
    path.write_text('#!/bin/sh\nmv "$0-well" "$0"\nexit 1\n')
    path.chmod(0o755)


@pytest.mark.parametrize("program", ["systemd-sysusers", "systemd-tmpfiles"])
@pytest.mark.parametrize("kept", ["", f"mkdir {STATE} && touch {STATE}/appliance.db"], ids=["new", "kept"])
def test_a_first_installation_that_failed_is_finished_by_the_next_run(host: Host, program: str, kept: str) -> None:
    """Also where it finds a state that an earlier one left."""
    host.ok("rm /opt/appliance/current")
    host.ok(kept)
    fail_once(host, program)
    assert host.install().code == 3
    assert "Preparing the state" in installed(host)
    assert host.ok("grep ^appliance: /etc/group")
    host.ok("/opt/appliance/bin/appliance key create one --scope read")
    assert "nothing was changed" in installed(host)


def test_units_that_systemd_has_not_read_are_read_by_the_next_run(host: Host) -> None:
    installed(host)
    path = host.folder / "bin" / "systemctl"
    stale, others = host.folder / "stale", path.read_text().partition("\n")[2]
    stale.touch()
    unread = f"daemon-reload) rm {stale} ;; *NeedDaemonReload*) [ ! -e {stale} ] || echo yes ;;"
    path.write_text(f'#!/bin/sh\ncase "$*" in {unread} esac\n{others}')
    assert "Installing the units" in installed(host)
    assert not stale.exists()
    assert "nothing was changed" in installed(host)


def test_an_upgrade_that_was_interrupted_is_taken_back_and_done_again(host: Host) -> None:
    after = interrupt_upgrade(host)
    said = installed(host, "--dry-run")
    assert f"would: {SAID}\n  would: Upgrading from old:" in said
    assert host.ok(f"cat {JOURNAL}")
    calls = host.folder / "calls"
    systemctl = host.folder / "bin" / "systemctl"
    systemctl.write_text(systemctl.read_text().replace("#!/bin/sh\n", f'#!/bin/sh\necho "$*" >> {calls}\n', 1))
    said = installed(host)
    assert f"{SAID} ..." in said
    told = calls.read_text().splitlines()
    started = next(at for at, line in enumerate(told) if "start --no-block" in line and "appliance.target" in line)
    stopped = told.index("stop appliance.target appliance-*.service appliance-*.socket")
    assert started < stopped, "it did not run before, so it does not now"
    assert not [line for line in told[stopped:] if " start " in line]
    assert "Upgrading from old:" in said
    assert current(host) == after
    assert host.run(f"test -e {JOURNAL}").code, "the next boot takes nothing back"
    assert "before" in keys(host)
    assert "nothing was changed" in installed(host)


def migrate_by(host: Host, deed: str) -> None:
    """The release ``old`` runs, and the next one does this in place of its migration."""
    installed(host)
    python = "/opt/appliance/current/venv/bin/python"
    (host.folder / "python.sh").write_text(
        f'#!/bin/sh\ncase "$*" in *migrate_copies*) {deed} ;; esac\nexec "$0.well" "$@"\n'
    )
    host.ok(
        f"cp -R $(readlink -f /opt/appliance/current) /opt/appliance/releases/old && mv {python} {python}.well"
        f" && cp {host.folder}/python.sh {python} && chmod 755 {python} && ln -sfn releases/old /opt/appliance/current"
    )


def test_an_upgrade_that_fails_says_what_is_in_place_and_blames_no_network(host: Host) -> None:
    migrate_by(host, "echo connection refused >&2; exit 1")
    done = host.install()
    assert done.code == 3, done.out + done.err
    assert "connection refused; going back to old" in done.err
    assert "The release old is in place as before, and its databases with it." in done.err
    assert "package index" not in done.err
    assert current(host) == "old"


def test_an_installer_whose_terminal_goes_away_ends_after_its_upgrade_has_gone_back(host: Host) -> None:
    waits = host.folder / "waits"
    migrate_by(host, f"touch {waits}; exec sleep infinity")
    done = host.run(
        f"setsid env --default-signal {host.command()} & while kill -0 $! && [ ! -e {waits} ]; do sleep 0.1; done;"
        " kill -HUP -$!; wait $!"
    )
    assert done.code == 130, done.out + done.err
    assert waits.exists()
    assert host.run(f"test -e {JOURNAL}").code
    assert current(host) == "old"
    assert "would: Upgrading from old:" in installed(host, "--dry-run")


def test_uninstalling_takes_it_back_first_since_no_other_release_could(host: Host) -> None:
    interrupt_upgrade(host)
    done = host.install("--uninstall")
    assert done.code == 0, done.out + done.err
    assert f"{SAID} ..." in done.out
    assert host.run(f"test -e {JOURNAL}").code
    assert host.ok(f"ls {STATE}/appliance.db")


def test_an_upgrade_that_is_at_work_is_not_disturbed(host: Host) -> None:
    interrupt_upgrade(host)
    done = host.run(f"exec 9>/opt/appliance/.upgrade; flock 9; {host.command()}")
    assert (done.code, "another upgrade is at work; wait for it" in done.err) == (3, True), done.out + done.err
    assert host.ok(f"cat {JOURNAL}")
