"""Delivers what is due, once, and is killed by its test while the receiver holds the message."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.monitoring.delivery import Courier
from appliance.settings import Settings

if __name__ == "__main__":
    courier = Courier(Settings(state=Path(sys.argv[1])), lease=timedelta(seconds=float(sys.argv[2])))
    courier.deliver_once(datetime.now(UTC))
