"""The guest's clock jumps while callers predict and label: nothing acknowledged is lost, nothing goes or runs wild.

Nobody keeps this clock right, as on a box at the edge. The host's own is never touched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.vm.conftest import PREDICT, require_recorded, wait_until_serving
from tests.vm.guest import SLOWER, Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800 * SLOWER)]

YEAR, HOUR = timedelta(days=365), timedelta(hours=1)
FIRST_DAYS = datetime(1970, 1, 2, tzinfo=UTC)
"""The kernel takes no time that is shorter than it has been up."""
SETTLES_S = 75.0
"""Longer than the rounds of everything that looks at the clock: once a minute at most."""


def set_clock(guest: Guest, to: datetime) -> None:
    guest.ok(f"date -u -s @{int(to.timestamp())}")


@contextmanager
def called(guest: Guest) -> Iterator[None]:
    """Callers predict and label; all that they were told is recorded, and nothing failed or was started again."""
    before = guest.main_pids()
    guest.wipe()
    guest.ok("systemd-run -q --collect --unit=caller python3 /opt/source/tests/vm/caller.py")
    try:
        yield
        met = len(guest.lines("acknowledged"))
        while len(guest.lines("acknowledged")) < met + 20:
            time.sleep(0.1)
    finally:
        guest.ok("systemctl stop caller")
    acknowledged = guest.lines("acknowledged")
    assert [line for line in acknowledged if line.startswith("failed")] == []
    require_recorded(guest, acknowledged)
    assert guest.main_pids() == before, guest.ok("journalctl -p warning --no-pager -n 60 -u 'appliance-*'")


def clock_line(guest: Guest) -> tuple[str, str, str]:
    """What doctor says of the clock."""
    checks = json.loads(guest.run("appliance doctor --json").out)["checks"]
    (found,) = [one for one in checks if one["name"] == "clock"]
    return found["state"], found["message"], found["fix"]


def kept(guest: Guest) -> dict[str, object]:
    """What retention could take: backups, jobs, versions of tables, MLflow's runs, labelled predictions."""
    jobs = json.loads(guest.ok("appliance jobs list --limit 200 --json"))["jobs"]
    return {
        "backups": {one["name"] for one in json.loads(guest.ok("appliance backup list --json"))["backups"]},
        "jobs": {one["id"] for one in jobs},
        "versions": len(json.loads(guest.ok("appliance versions penguins --json"))["versions"]),
    }


def jobs_of(guest: Guest, kind: str) -> list[dict[str, str]]:
    jobs = json.loads(guest.ok("appliance jobs list --limit 200 --json"))["jobs"]
    return [one for one in jobs if one["kind"] == kind]


def nights(guest: Guest) -> int:
    """How often the night's work has begun since the boot."""
    begun = "journalctl -b --no-pager -o cat -u appliance-backup | grep -c 'Starting ' || true"
    return int(guest.ok(begun))


@pytest.fixture(scope="module")
def lived_in(guest: Guest) -> Guest:
    """With a backup, a model that retrains each hour, and a table that is refreshed each hour."""
    guest.ok("appliance backup create")
    guest.ok(
        "cp /root/penguins.csv /srv/ && chmod 644 /srv/penguins.csv && appliance data add hourly /srv/penguins.csv"
    )
    guest.ok("appliance data refresh hourly --schedule '7 * * * *'")
    guest.ok(
        'printf \'name = "again"\\ndataset = "penguins"\\ntarget = "species"\\nschedule = "11 * * * *"\\n\''
        " > /root/again.toml && appliance apply /root/again.toml"
    )
    guest.until("appliance jobs list --json | grep -q retrain")
    return guest


def test_a_year_ahead_and_back_again(lived_in: Guest) -> None:
    guest, now = lived_in, datetime.now(UTC)
    before, ran = kept(guest), nights(guest)
    with called(guest):
        set_clock(guest, now + YEAR)
        time.sleep(SETTLES_S)
        state, message, fix = clock_line(guest)
        assert (state, "nothing is let go for its age" in fix) == ("warn", True), message
        guest.ok("systemctl start appliance-backup.service", timeout_s=300)
        assert 1 <= nights(guest) - ran <= 2, "that of the timer, and ours"
        assert before["backups"] < kept(guest)["backups"], "the old ones stay"  # type: ignore[operator]
        assert before["jobs"] <= kept(guest)["jobs"], "so do finished jobs"  # type: ignore[operator]
        assert len(jobs_of(guest, "retrain")) <= 3, "an hour that was missed is made up for once"
    with called(guest):
        set_clock(guest, datetime.now(UTC))
        time.sleep(SETTLES_S)
        state, message, _ = clock_line(guest)
        assert (state, "it was set back" in message) == ("fail", True)
        json.loads(guest.ok("appliance train penguins --wait --json", timeout_s=300))
    after = kept(guest)
    assert before["backups"] <= after["backups"]  # type: ignore[operator]
    assert before["jobs"] <= after["jobs"]  # type: ignore[operator]
    timer = guest.ok("systemctl show -p NextElapseUSecRealtime --value appliance-backup.timer").split()
    elapses = datetime.fromisoformat(f"{timer[1]}T{timer[2]}+00:00")
    assert elapses - datetime.now(UTC) < timedelta(days=1, minutes=30), "the next night comes"
    planned = [one for one in jobs_of(guest, "retrain") if one["state"] == "scheduled"]
    assert len(planned) <= 1


def test_an_hour_back_beside_a_job_that_waits(lived_in: Guest) -> None:
    guest = lived_in
    set_clock(guest, datetime.now(UTC))
    with called(guest):
        first, second = (json.loads(guest.ok("appliance train penguins --json"))["job"] for _ in range(2))
        set_clock(guest, datetime.now(UTC) - HOUR)
        done = "appliance jobs list --limit 50 --json | tr -d ' \\n' | grep -Eq"
        for job in (first, second):
            guest.until(f"""{done} '"id":"{job}"[^}}]*"state":"completed"'""", timeout_s=200)
        time.sleep(SETTLES_S)
        assert clock_line(guest)[0] == "fail"
    set_clock(guest, datetime.now(UTC))


def test_the_first_days_of_1970_while_everything_runs(lived_in: Guest) -> None:
    guest = lived_in
    set_clock(guest, datetime.now(UTC))
    before = kept(guest)
    with called(guest):
        set_clock(guest, FIRST_DAYS)
        time.sleep(SETTLES_S)
        state, message, _ = clock_line(guest)
        assert (state, "this release was made after" in message) == ("fail", True)
        guest.ok("appliance retention")
    guest.ok("systemctl restart appliance-ui appliance-runner appliance-orchestrator", timeout_s=300)
    wait_until_serving(guest)
    set_clock(guest, datetime.now(UTC))
    time.sleep(SETTLES_S)
    after = kept(guest)
    assert before["backups"] <= after["backups"]  # type: ignore[operator]
    assert before["jobs"] <= after["jobs"]  # type: ignore[operator]


def test_a_boot_without_a_battery(lived_in: Guest) -> None:
    """The hardware clock begins at 1970; systemd goes on to the day that it was made on, which is wrong, too."""
    guest = lived_in
    before = kept(guest)
    guest.off()
    guest.boot(clock="1970-01-01T00:00:00")
    wait_until_serving(guest)
    assert int(guest.ok("date +%s")) < datetime.now(UTC).timestamp() - YEAR.total_seconds() / 12
    with called(guest):
        time.sleep(SETTLES_S)
        assert clock_line(guest)[0] == "fail"
        set_clock(guest, datetime.now(UTC))
        time.sleep(SETTLES_S)
        assert guest.ok(PREDICT).endswith(" 200")
    after = kept(guest)
    assert before["backups"] <= after["backups"]  # type: ignore[operator]
    assert before["jobs"] <= after["jobs"]  # type: ignore[operator]
    json.loads(guest.ok("appliance train penguins --wait --json", timeout_s=300))
