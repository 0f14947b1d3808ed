"""No password of an address is told or recorded, also where the address is no URL."""

from __future__ import annotations

import pytest

from storage.addresses import redacted, scrubbed
from storage.errors import SourceUnreadable
from storage.sources import told_source
from tests.storage.desk import Desk


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://ann:geheim@h/f.csv", "http://ann@h/f.csv"),
        ("HTTPS://ann:ge:heim@h:8/f.csv", "HTTPS://ann@h:8/f.csv"),
        ("https://h/dir@2/f.csv?sig=a@b&password=kept", "https://h/dir@2/f.csv?sig=a@b&password=kept"),
        ("http://h:8/a:b@c.csv", "http://h:8/a:b@c.csv"),
        ("http://ann:ge/heim@h/f.csv", "http://ann@h/f.csv"),
        ("http://[bad/f.csv", "http://[bad/f.csv"),
        ("http://ann:geheim@[bad/f.csv", "http://ann@[bad/f.csv"),
        ("postgresql://ann:geheim@h1:5432,h2:5433/db", "postgresql://ann@h1:5432,h2:5433/db"),
        ("postgresql://h1:5432,h2/db?user=a@b", "postgresql://h1:5432,h2/db?user=a@b"),
        ("postgresql://[::1]/db?user=a@b", "postgresql://[::1]/db?user=a@b"),
        ("postgresql://h/db?user=u&password=geheim", "postgresql://h/db?user=u"),
        ("postgresql://h/db?password=geheim", "postgresql://h/db"),
        ("postgresql://h/db?PassWord=ge#heim&user=u&sslpassword=x", "postgresql://h/db?user=u"),
        ("postgresql://h/db?pass%77ord=geheim&sslmode=require", "postgresql://h/db?sslmode=require"),
        ("postgresql://ann:geheim@h/db?password=auch&passfile=/p", "postgresql://ann@h/db?passfile=/p"),
        ("postgresql://ann:ge/heim@h/db", "postgresql://ann@h/db"),
        ("postgresql://ann:ge#heim@h/db", "postgresql://ann@h/db"),
        ("postgresql://ann:ge?heim@h/db?user=u", "postgresql://ann@h/db?user=u"),
        ("postgresql://ann:12/34@h/db", "postgresql://ann@h/db"),
        ("postgresql://ann:12?34@h/db", "postgresql://ann@h/db"),
        ("postgresql://ann:ge@he/im@h/db?user=a@b", "postgresql://ann@h/db?user=a@b"),
        ("mysql://ann:ge/heim@h/db?password=x", "mysql://ann@h/db"),
        ("postgresql://ann@h/db@2", "postgresql://ann@h/db@2"),
        ("postgresql://h", "postgresql://h"),
    ],
)
def test_an_address_is_told_and_recorded_without_its_password(address: str, told: str) -> None:
    assert redacted(address) == told_source(address) == told


def test_what_a_library_says_is_told_without_the_password() -> None:
    address = "postgresql://ann:p%20w@h/db?password=x1"
    assert scrubbed(f"cannot reach {address}: 'p%20w', 'p w' or x1, not x12", address) == (
        "cannot reach postgresql://ann@h/db: '***', '***' or ***, not x12"
    )
    assert scrubbed("port 5432", "postgresql://ann@h/db") == "port 5432"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://[bad/f.csv", r"http://\[bad/f\.csv cannot be fetched: "),
        ("http://ann:geheim@[bad/f.csv", r"http://ann@\[bad/f\.csv cannot be fetched: "),
        ("http://ann:geheim℀@h/f.csv", r"http://ann@h/f\.csv cannot be fetched: "),
        ("http://ann:ge/heim@h/f.csv", r"http://ann@h/f\.csv cannot be read: .*write / as %2F"),
        ("postgresql://ann:ge/heim@h/db", r"postgresql://ann@h/db cannot be read: .* and @ as %40"),
        ("postgresql://ann:geheim@[bad/db", r"postgresql://ann@\[bad/db is no address: "),
        ("postgresql://ann:geheim%zz@127.0.0.1:1/db", r"the query cannot be run on postgresql://ann@127\.0\.0\.1:1/db"),
        ("postgresql://127.0.0.1:1/db?user=u&password=geheim", r"run on postgresql://127\.0\.0\.1:1/db\?user=u: "),
        ("postgresql://127.0.0.1:1/db?geheim=1&password=geheim", r"the query cannot be run on "),
        ("mysql://ann:ge/heim@h/db", r"mysql://ann@h/db cannot be read: "),
    ],
)
def test_an_address_that_cannot_be_read_is_said_without_its_password(desk: Desk, address: str, message: str) -> None:
    with pytest.raises(SourceUnreadable, match=message) as told:
        desk.read(address, "SELECT 1 AS a")
    assert "heim" not in str(told.value).replace("geheim=1", "")
