"""The power goes at a random moment of all that people do: what was acknowledged is there, and nothing is half there.

The guest's page cache is lost with it, unlike with a killed container. Acknowledged is what somebody outside of the
guest has heard; everything else may be there or not.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.vm.conftest import PYTHON, require_recorded, wait_until_serving
from tests.vm.guest import SLOWER, Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800 * SLOWER)]

CUTS = 3
MOST_S = 8.0
"""Between the moment when all are at work and the cut; on an emulated processor, a multiple."""
ROWS = 344
"""Of the table that is added again and again."""
CSV = "/opt/source/tests/data/penguins.csv"
WORKS = {
    "ingest": f"appliance data add grown {CSV} --append --json",
    "deploy": "appliance deploy penguins --version $((at % 2 + 1)) --json",
    "backup": "appliance backup create --json",
    "train": "appliance train penguins --wait --json",
}
"""Each again and again; ``$at`` counts."""
DO = """
port=/dev/virtio-ports/done at=0
tell() {{ until echo "$1" >$port; do sleep 0.05; done 2>/dev/null; }}  # one at a time has it
tell "{name} begins"
while :; do
  at=$((at + 1))
  if said=$({work} 2>/root/{name}.err); then tell "{name} done $(echo "$said" | tr -d '\\n')"
  else tell "{name} failed $at $said $(tail -c 2000 /root/{name}.err | tr '\\n' ' ')"; fi
done
"""
HISTORY = (
    "import json, sqlite3; db = sqlite3.connect('/var/lib/appliance/appliance.db'); "
    "rows = db.execute('SELECT started_at, version, ended_at FROM deployments ORDER BY id'); "
    "print(json.dumps(rows.fetchall()))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The machine after it, and what was acknowledged before: of each work, what its command printed each time."""

    guest: Guest
    done: Mapping[str, Sequence[str]]
    called: Sequence[str]


@pytest.fixture(scope="module", params=range(CUTS))
def cut(guest: Guest, request: pytest.FixtureRequest) -> Cut:
    """Callers predict and label beside all works, the power goes, everything is up again."""
    if request.param == 0:
        guest.ok(f"appliance data add grown {CSV}")
    guest.wipe()
    for name, work in WORKS.items():
        guest.ok(f"cat > /root/{name}.sh <<'E'{DO.format(name=name, work=work)}E")
        guest.ok(f"systemd-run -q -E HOME=/root --unit=work-{name} sh /root/{name}.sh")
    guest.ok("systemd-run -q --unit=caller python3 /opt/source/tests/vm/caller.py")
    while len(guest.lines("done")) < len(WORKS) or len(guest.lines("acknowledged")) < 20:
        time.sleep(0.1)
    wait_s = random.uniform(0.5, MOST_S * SLOWER)
    time.sleep(wait_s)
    guest.cut()
    called, lines = guest.lines("acknowledged"), guest.lines("done")
    sys.stdout.write(f"\ncut after {wait_s:.2f} s: {len(called)} answers, then {[line[:60] for line in lines]}\n")
    guest.boot()
    wait_until_serving(guest)
    assert [line for line in called if line.startswith("failed")] == []
    assert [line for line in lines if line.split()[1] == "failed"] == []
    told = [line.split(" ", 2) for line in lines if " done " in line]
    return Cut(
        guest=guest, called=called, done={name: [said for one, _, said in told if one == name] for name in WORKS}
    )


def test_every_acknowledged_prediction_and_label_is_there(cut: Cut) -> None:
    require_recorded(cut.guest, cut.called)


def test_every_acknowledged_ingest_is_there_whole(cut: Cut) -> None:
    found = json.loads(cut.guest.ok("appliance data versions grown --json"))["versions"]
    versions = sorted(found, key=lambda one: int(one["version"]))
    assert [one["version"] for one in versions] == list(range(1, len(versions) + 1))
    assert [one["rows"] for one in versions] == [ROWS * one["version"] for one in versions]
    assert len(versions) >= max((json.loads(one)["version"] for one in cut.done["ingest"]), default=1)
    read = "import polars as pl; print(pl.scan_delta('/var/lib/appliance/datasets/grown').collect().height)"
    assert int(cut.guest.ok(f'{PYTHON} -P -c "{read}"')) == ROWS * len(versions)
    added = json.loads(cut.guest.ok(f"appliance data add grown {CSV} --append --json"))
    assert (added["version"], added["rows"]) == (len(versions) + 1, ROWS * (len(versions) + 1))


def test_the_last_acknowledged_deployment_serves(cut: Cut) -> None:
    asked = 'curl -sf -H "X-API-Key: $(cat /root/key)" http://127.0.0.1:8100/models/penguins'
    serves = json.loads(cut.guest.ok(asked))["version"]
    history = json.loads(cut.guest.ok(f'python3 -c "{HISTORY}"'))
    known = {datetime.fromisoformat(row[0]) for row in history}
    assert {datetime.fromisoformat(json.loads(one)["started_at"]) for one in cut.done["deploy"]} <= known
    assert [row[1] for row in history if row[2] is None] == [serves], "one champion, and it is what answers"
    assert history[-1][1] == serves


def test_every_backup_that_is_listed_can_be_restored(cut: Cut) -> None:
    made = [json.loads(one) for one in cut.done["backup"]]
    removed = {name for one in made for name in one["removed"]}
    listed = {one["name"] for one in json.loads(cut.guest.ok("appliance backup list --json"))["backups"]}
    assert {one["backup"] for one in made} - removed <= listed
    for name in sorted(listed)[-2:]:
        cut.guest.ok(f"appliance backup verify {name}")


def test_a_training_that_was_cut_ends_and_what_was_acknowledged_is_there(cut: Cut) -> None:
    versions = {one["version"] for one in json.loads(cut.guest.ok("appliance versions penguins --json"))["versions"]}
    assert {json.loads(one)["version"] for one in cut.done["train"]} <= versions
    # One that had registered its version goes on by itself; any other is said to have been stopped.
    cut.guest.until("! appliance jobs list --running --json | grep -q '\"id\"'", timeout_s=240)


def test_doctor_finds_nothing_wrong(cut: Cut) -> None:
    found = json.loads(cut.guest.run("appliance doctor --json").out)["checks"]
    wrong = [f"{one['name']}: {one['message']}; {one['fix']}" for one in found if one["state"] == "fail"]
    assert not wrong, "\n".join(wrong)
