"""The alert on a certificate that ends soon: whoever comes over TLS is refused from then on."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import datetime

from appliance.monitoring.spans import State
from appliance.processes.certificate import SPARE_DAYS, read_expiry
from appliance.settings import Settings
from storage.alert_rows import NewAlert, close_alert, list_alerts, open_alert
from storage.statedb import connect, transaction

CERTIFICATE = "certificate"
"""The alert's subject; it is about the host, so its model is empty."""
ALARM_DAYS = 7
log = logging.getLogger("appliance.certificate")


def watch_certificate(settings: Settings, now: datetime) -> None:
    """Open, replace or close the alert: a warning within a month of the end, an alarm within a week, and after it.

    Raises:
        sqlite3.Error, StorageError: The state database cannot be asked.
    """
    try:
        expiry = None if settings.tls_cert is None else read_expiry(settings.tls_cert)
    except (OSError, ValueError) as exc:
        log.error("the certificate %s cannot be read: %s; see 'appliance doctor'", settings.tls_cert, exc)
        return
    state = None if expiry is None else _judge(expiry, now)
    with closing(connect(settings.layout.database)) as connection, transaction(connection):
        standing = [row for row in list_alerts(connection, open_only=True, limit=1000) if row.subject == CERTIFICATE]
        if [row.state for row in standing] == ([] if state is None else [state]):
            return
        close_alert(connection, "", CERTIFICATE, now)
        if state is not None:
            message = (
                f"The certificate {settings.tls_cert} ends on {expiry:%Y-%m-%d %H:%M} UTC; from then on who comes over "
                "TLS is refused. Run './install.sh --tls CERT,KEY' with another, or '--tls self' to have one made."
            )
            open_alert(connection, NewAlert(model="", subject=CERTIFICATE, state=state, message=message, opened_at=now))


def _judge(expiry: datetime, now: datetime) -> State | None:
    days = (expiry - now).total_seconds() / 86_400
    return State.ALARM if days < ALARM_DAYS else State.WARN if days < SPARE_DAYS else None
