"""The alert on a certificate that ends soon, by the real certificates that the installer makes."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.expiry import watch_certificate
from appliance.monitoring.alerts import Alert
from appliance.monitoring.spans import State
from appliance.processes.certificate import VALID_DAYS, make_certificate
from appliance.settings import Settings
from storage.alert_rows import list_alerts
from storage.migrations import migrate
from storage.statedb import connect

MADE = datetime(2026, 3, 1, tzinfo=UTC)
END = MADE + timedelta(days=VALID_DAYS)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    certificate, key = make_certificate(["localhost"], now=MADE)
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    made = Settings(state=tmp_path / "state", tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    made.layout.create()
    migrate(made.layout.database)
    return made


def alerts(settings: Settings) -> list[tuple[str, str, bool]]:
    with closing(connect(settings.layout.database)) as connection:
        return [(one.state, one.message, one.closed_at is None) for one in reversed(list_alerts(connection))]


def test_it_warns_within_a_month_alarms_within_a_week_and_ends_with_another(settings: Settings) -> None:
    watch_certificate(settings, END - timedelta(days=31))
    assert alerts(settings) == []
    for days in (29, 28):
        watch_certificate(settings, END - timedelta(days=days))
    ((state, message, is_open),) = alerts(settings)
    assert (state, is_open) == ("warn", True)
    assert f"cert.pem ends on {END:%Y-%m-%d %H:%M} UTC; from then on who comes over TLS is refused" in message
    for days in (6, -1):
        watch_certificate(settings, END - timedelta(days=days))
    assert [(state, is_open) for state, _, is_open in alerts(settings)] == [("warn", False), ("alarm", True)]
    assert settings.tls_cert is not None
    settings.tls_cert.write_bytes(make_certificate(["localhost"], now=END)[0])
    watch_certificate(settings, END)
    assert [is_open for _, _, is_open in alerts(settings)] == [False, False]


def test_without_tls_and_with_an_unreadable_one_nothing_is_opened(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    watch_certificate(settings, END)
    watch_certificate(Settings(state=settings.state), END)
    assert alerts(settings) == []


def test_it_is_about_the_host() -> None:
    alert = Alert(
        id=1, model="", subject="certificate", state=State.WARN, message="", opened_at=MADE, closed_at=None,
        acknowledged_by=None,
    )  # fmt: skip
    assert alert.about == "this host"
