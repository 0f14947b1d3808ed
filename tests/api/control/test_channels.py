"""Alert channels over HTTP: an address goes in and never comes out."""

from __future__ import annotations

from tests.api.control.conftest import Control
from tests.monitoring.receivers import http_receiver


def test_a_channel_is_added_tested_listed_and_removed(control: Control) -> None:
    with http_receiver(204, 500) as hook:
        wanted = {"name": "ops", "address": hook.url}
        assert control.client.post("/alert-channels", json=wanted, headers=control.read).status_code == 403
        made = control.client.post("/alert-channels", json=wanted, headers=control.admin)
        assert made.status_code == 201
        assert made.json()["secret"].startswith("whsec_")
        assert control.client.post("/alert-channels", json=wanted, headers=control.admin).status_code == 409
        listed = control.client.get("/alert-channels", headers=control.read)
        assert [one["name"] for one in listed.json()] == ["ops"]
        first = control.client.post("/alert-channels/ops/test", headers=control.admin).json()
        second = control.client.post("/alert-channels/ops/test", headers=control.admin).json()
        assert (first["state"], second["state"], second["reason"]) == ("sent", "dead", "the receiver answered 500")
        dead = control.client.get("/alert-deliveries?only=dead", headers=control.read)
        assert [one["id"] for one in dead.json()] == [second["id"]]
        again = control.client.post(f"/alert-deliveries/{second['id']}/retry", headers=control.admin)
        assert again.json()["state"] == "waiting"
        for answer in (made, listed, dead):
            assert "5ecret" not in answer.text
    assert control.client.delete("/alert-channels/ops", headers=control.admin).status_code == 204
    assert control.client.get("/alert-channels", headers=control.read).json() == []


def test_what_is_wrong_is_a_problem_document(control: Control) -> None:
    for path, body, status in (
        ("/alert-channels", {"name": "ops", "address": "carrier-pigeon://5ecret"}, 422),
        ("/alert-channels", {"name": "ops"}, 400),
        ("/alert-channels/nobody/test", None, 404),
        ("/alert-deliveries/9/retry", None, 404),
        ("/alerts/9/snooze", {"span": "8h"}, 404),
        ("/alerts/9/snooze", {"span": "soon"}, 422),
    ):
        answer = control.client.post(path, json=body, headers=control.admin)
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert "5ecret" not in answer.text
    assert control.client.get("/alert-deliveries?only=lost", headers=control.read).status_code == 422
