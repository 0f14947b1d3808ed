"""Datasets over HTTP: uploads as a browser and as curl send them, and what must not get in."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.access import Role
from appliance.api.control.dataset_routes import NewSnapshot, add
from appliance.api.control.uploads import forget_upload
from appliance.errors import NotFound, Stopped
from appliance.orders import StopButton
from appliance.permissions import Caller
from tests.api.control.conftest import Control

CSV = b"size,colour,price\n" + b"".join(f"{i},{'red' if i % 2 else 'blue'},{i * 3}\n".encode() for i in range(1, 41))


def upload(control: Control, name: str = "houses.csv", body: bytes = CSV) -> str:
    answer = control.client.post("/uploads", params={"name": name}, content=body, headers=control.admin)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["upload"])


def waiting(control: Control) -> list[Path]:
    return list(control.appliance.settings.layout.tmp.glob("upload-*"))


def test_a_form_is_held_to_the_size_of_a_file_and_leaves_nothing(control: Control) -> None:
    limit = control.appliance.settings.max_upload_bytes
    for body, says in ((b"a\n" + b"1\n" * (limit // 2), "larger than"), (b"", "is empty")):
        answer = control.client.post(
            "/datasets", headers=control.admin, data={"name": "houses"}, files={"file": ("h.csv", body)}
        )
        assert answer.status_code == 422, answer.text
        assert says in answer.json()["detail"]
        assert waiting(control) == []


def test_a_file_that_somebody_took_away_by_stopping_it_was_stopped(control: Control) -> None:
    caller = Caller(name="ann", role=Role.ADMIN)
    wanted = NewSnapshot(name="houses", upload=upload(control))
    forget_upload(control.appliance.settings.layout, wanted.upload or "")
    stop = StopButton()
    with pytest.raises(NotFound):
        add(control.appliance, caller, wanted, stop)
    stop.press()
    with pytest.raises(Stopped, match="it was stopped; nothing was added"):
        add(control.appliance, caller, wanted, stop)


def test_an_uploaded_file_becomes_a_version_and_is_gone_from_tmp(control: Control) -> None:
    answer = control.client.post("/datasets", headers=control.admin, json={"name": "houses", "upload": upload(control)})
    assert answer.status_code == 201, answer.text
    assert answer.json()["rows"] == 40
    assert waiting(control) == []
    shown = control.client.get("/datasets/houses", headers=control.read).json()
    assert [column["name"] for column in shown["columns"]] == ["size", "colour", "price"]
    assert shown["who"] == "key:test-admin"
    told = control.client.get("/audit?q=houses", headers=control.admin).json()
    assert [one["detail"] for one in told] == ["version 1 with 40 rows from houses.csv"]
    assert shown["source"].endswith("/houses.csv"), "the file keeps its name"
    rows = control.client.get("/datasets/houses/preview", params={"rows": 2}, headers=control.read).json()
    assert rows["rows"] == [{"size": 1, "colour": "red", "price": 3}, {"size": 2, "colour": "blue", "price": 6}]
    profile = control.client.get("/datasets/houses/profile", headers=control.read).json()
    assert profile[0]["minimum"] == 1


@pytest.mark.parametrize("name", ["魚" * 90 + ".csv", "x" * 300 + ".csv", "é" * 110 + ".csv", "𠀋" * 60 + ".csv"])
def test_a_long_name_is_cut_at_a_letter_of_it(control: Control, name: str) -> None:
    sent = upload(control, name)
    (kept,) = (control.appliance.settings.layout.tmp / sent).iterdir()
    assert 190 < len(kept.name.encode()) <= 200
    assert name.endswith(kept.name)
    answer = control.client.post("/datasets", headers=control.admin, json={"name": "houses", "upload": sent})
    assert answer.status_code == 201, answer.text


def test_a_form_as_curl_sends_it_and_the_difference_of_two_versions(control: Control) -> None:
    for _ in range(2):
        answer = control.client.post(
            "/datasets",
            headers=control.admin,
            data={"name": "houses", "append": "true"},
            files={"file": ("h.csv", CSV)},
        )
        assert answer.status_code == 201, answer.text
    versions = control.client.get("/datasets/houses/versions", headers=control.read).json()
    assert [(one["version"], one["rows"]) for one in versions] == [(2, 80), (1, 40)]
    diff = control.client.get("/datasets/houses/diff", params={"old": 1, "new": 2}, headers=control.read).json()
    assert diff["rows"] == [40, 80]


def test_the_findings_of_any_version_are_told_as_its_ingest_told_them(control: Control) -> None:
    def add_file(body: bytes) -> dict[str, object]:
        order = {"name": "houses", "upload": upload(control, body=body)}
        answer = control.client.post("/datasets", headers=control.admin, json=order)
        assert answer.status_code == 201, answer.text
        told: dict[str, object] = answer.json()
        return told

    odd = add_file(CSV.replace(b"red", b" red"))
    plain = add_file(CSV)
    assert "begin or end with spaces" in str(odd["warnings"])
    url = "/datasets/houses/findings"
    assert control.client.get(url, params={"version": 1}, headers=control.read).json() == odd
    assert control.client.get(url, headers=control.read).json() == plain
    missing = control.client.get(url, params={"version": 3}, headers=control.read)
    assert (missing.status_code, "version 3" in missing.json()["detail"]) == (404, True)
    document = control.client.get("/schema", headers=control.read).json()["paths"]
    told = document["/datasets/{name}/findings"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    added = document["/datasets"]["post"]["responses"]["201"]["content"]["application/json"]["schema"]
    assert told == added, "one shape for both"


def test_a_file_that_is_no_table_is_refused_and_nothing_stays(control: Control) -> None:
    name = upload(control, "broken.parquet", b"this is no Parquet file at all")
    answer = control.client.post("/datasets", headers=control.admin, json={"name": "broken", "upload": name})
    assert answer.status_code == 422, answer.text
    assert control.client.get("/datasets", headers=control.read).json() == []
    assert waiting(control) == []


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.exe", CSV, "accepted: .csv"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"x" * 200_001, "APPLIANCE_MAX_UPLOAD_BYTES"),
    ],
)
def test_uploads_that_are_refused_at_once(control: Control, name: str, body: bytes, message: str) -> None:
    answer = control.client.post("/uploads", params={"name": name}, content=body, headers=control.admin)
    assert answer.status_code in {413, 422}
    assert message in answer.json()["detail"]
    assert waiting(control) == []


@pytest.mark.parametrize("name", ["../secret", "upload-../../secret", "secret", "/etc/passwd"])
def test_an_upload_is_a_name_and_no_path(control: Control, name: str) -> None:
    answer = control.client.post("/datasets", headers=control.admin, json={"name": "stolen", "upload": name})
    assert answer.status_code == 404


def test_a_path_of_the_host_is_for_admins(control: Control, tmp_path: Path) -> None:
    file = tmp_path / "on_the_host.csv"
    file.write_bytes(CSV)
    answer = control.client.post("/datasets", headers=control.admin, json={"name": "houses", "source": str(file)})
    assert answer.status_code == 201
    assert answer.json()["rows"] == 40


def test_what_is_wrong_with_an_upload_names_the_file_and_not_where_it_waits(control: Control) -> None:
    sent = upload(control, "ragged.csv", b"a,b,c\n1,2,3\n4,5\n" * 3)
    answer = control.client.post("/datasets", headers=control.admin, json={"name": "ragged", "upload": sent})
    assert answer.status_code == 422
    assert "ragged.csv is no regular CSV" in answer.json()["detail"]
    assert "upload-" not in answer.json()["detail"]


def test_neither_upload_nor_source(control: Control) -> None:
    answer = control.client.post("/datasets", headers=control.admin, json={"name": "houses"})
    assert answer.status_code == 422
    assert "upload" in answer.json()["detail"]


def test_a_source_is_prepared_refreshed_and_evolved(control: Control, tmp_path: Path) -> None:
    file = tmp_path / "on_the_host.csv"
    file.write_bytes(CSV)
    order = {"name": "houses", "source": str(file), "prepare": "SELECT *, price * 2 AS twice FROM source"}
    answer = control.client.post("/datasets", headers=control.admin, json=order)
    assert answer.status_code == 201, answer.text
    again = control.client.post("/datasets/houses/refresh", headers=control.admin)
    assert again.json() == {"dataset": "houses", "version": 1, "unchanged": True, "rows": None, "warnings": []}
    file.write_bytes(CSV + b"41,red,7\n")
    again = control.client.post("/datasets/houses/refresh", headers=control.admin).json()
    assert (again["version"], again["unchanged"], again["rows"]) == (2, False, 41)
    more = upload(control, "more.csv", b"size,colour,price,twice,garden\n1,red,2,4,true\n")
    refused = control.client.post(
        "/datasets", headers=control.admin, json={"name": "houses", "upload": more, "append": True}
    )
    assert refused.status_code == 422
    assert "'garden'" in refused.json()["detail"]
    more = upload(control, "more.csv", b"size,colour,price,twice,garden\n1,red,2,4,true\n")
    taken = control.client.post(
        "/datasets", headers=control.admin, json={"name": "houses", "upload": more, "append": True, "evolve": True}
    )
    assert taken.json()["rows"] == 42
    diff = control.client.get("/datasets/houses/diff", params={"old": 1, "new": 2}, headers=control.read).json()
    assert {column["state"] for column in diff["distributions"]} == {"not_enough_data"}
    assert control.client.post("/datasets/houses/refresh", headers=control.read).status_code == 403


def test_rules_are_declared_and_what_they_rejected_is_shown(control: Control) -> None:
    empty = control.client.get("/datasets/houses/rules", headers=control.read)
    assert empty.json() == {"dataset": "houses", "rules": None}
    toml = '[columns.colour]\nvalues = ["red"]\n[columns.price]\nmax = 60\n'
    assert control.client.put("/datasets/houses/rules", headers=control.read, json={"toml": toml}).status_code == 403
    declared = control.client.put("/datasets/houses/rules", headers=control.admin, json={"toml": toml})
    assert declared.json()["rules"]["columns"]["price"] == {"max": 60}
    wrong = control.client.put("/datasets/houses/rules", headers=control.admin, json={"toml": "[columns.x]\nmini = 1"})
    assert (wrong.status_code, "mini" in wrong.json()["detail"]) == (422, True)
    body = {"name": "houses", "upload": upload(control)}
    refused = control.client.post("/datasets", headers=control.admin, json=body)
    assert (refused.status_code, "30 of 40 rows break" in refused.json()["detail"]) == (422, True)
    loose = f"max_rejected_share = 0.9\n{toml}"
    control.client.put("/datasets/houses/rules", headers=control.admin, json={"toml": loose})
    added = control.client.post("/datasets", headers=control.admin, json={**body, "upload": upload(control)}).json()
    assert (added["rows"], added["warnings"][0]["code"]) == (10, "rejected")
    shown = control.client.get("/datasets/houses/rejected", params={"rows": 2}, headers=control.read).json()
    assert (shown["rejected"], shown["columns"]) == (30, ["_row", "_reason", "size", "colour", "price"])
    assert shown["rows"][0] == {
        "_row": 2, "_reason": "colour: blue is none of red", "size": 2, "colour": "blue", "price": 6,
    }  # fmt: skip


def test_feeds_are_declared_by_admins_listed_and_ended(control: Control, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    url = "/datasets/houses/feed"
    assert control.client.put(url, headers=control.read, json={"folder": str(drop)}).status_code == 403
    both = control.client.put(url, headers=control.admin, json={"folder": str(drop), "schedule": "0 6 * * *"})
    assert (both.status_code, "either `schedule`" in both.json()["detail"]) == (422, True)
    declared = control.client.put(url, headers=control.admin, json={"folder": str(drop), "query": "SELECT 1 AS a"})
    assert declared.json()["feed"]["folder"] == str(drop)
    assert control.client.put(url, headers=control.admin, json={"schedule": "0 6 * * *"}).status_code == 404
    listed = control.client.get("/feeds", headers=control.read).json()
    assert [(one["dataset"], one["next_at"], one["feed"]["query"]) for one in listed] == [
        ("houses", None, "SELECT 1 AS a")
    ]
    assert control.client.delete(url, headers=control.admin).status_code == 204
    assert control.client.get("/feeds", headers=control.read).json() == []
    assert control.client.delete(url, headers=control.admin).status_code == 404
