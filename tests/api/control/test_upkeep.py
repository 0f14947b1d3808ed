"""Backups and retention over HTTP, and the audit searched."""

from __future__ import annotations

from datetime import datetime

from tests.api.control.conftest import Control


def test_a_backup_is_made_proved_and_listed(control: Control) -> None:
    assert control.client.get("/upkeep", headers=control.admin).json() == {"backups": [], "spare": [], "problem": ""}
    made = control.client.post("/backups", headers=control.admin)
    assert made.status_code == 201, made.text
    assert made.json()["problems"] == []
    (listed,) = control.client.get("/upkeep", headers=control.admin).json()["backups"]
    assert listed["name"] == made.json()["name"]
    assert listed["problem"] == ""
    assert datetime.fromisoformat(listed["proved_at"]) >= datetime.fromisoformat(listed["created_at"])
    assert "backup.create" in {row.entry.action for row in control.appliance.access.audit(5)}


def test_backups_are_for_admins(control: Control) -> None:
    assert control.client.post("/backups", headers=control.read).status_code == 403
    assert control.client.get("/upkeep", headers=control.read).status_code == 403


def test_the_audit_is_searched_in_who_action_subject_and_detail(control: Control) -> None:
    access = control.appliance.access
    for who, subject, detail in (("ann", "one", "100 % sure"), ("bob", "two_x", ""), ("bob", "three", "for Ann")):
        access.record(who, "model.deploy", subject, detail)

    def subjects(word: str) -> list[str]:
        found = control.client.get("/audit", headers=control.admin, params={"q": word}).json()
        return [line["subject"] for line in found]

    assert subjects("ANN") == ["three", "one"]
    assert subjects("model.deploy") == ["three", "two_x", "one"]
    # A word is taken as it stands: neither % nor _ is anything else.
    assert subjects("100 %") == ["one"]
    assert subjects("o_x") == ["two_x"]
    assert subjects("b\\no") == []
