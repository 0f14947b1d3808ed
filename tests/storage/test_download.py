"""Files fetched from a real server on loopback, and what such a server may try."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from storage.addresses import redacted
from storage.download import DownloadLimits
from storage.errors import SourceUnreadable, StateUnwritable
from storage.sources import SourceOptions, open_source, told_source
from tests.storage.conftest import SmallDisk
from tests.storage.desk import Desk
from tests.storage.site import Site, serve

CSV = b"a,b\n1,x\n2,y\n"


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as made:
        yield made


def test_a_file_of_an_address_is_read_like_one_of_the_disk(desk: Desk, site: Site) -> None:
    url = site.put("/data/rows.csv", CSV)
    assert desk.read(f"{url}?version=3").rows() == [(1, "x"), (2, "y")]
    assert site.asked == ["/data/rows.csv?version=3"]
    assert desk.sha256 == hashlib.sha256(CSV).hexdigest()
    assert desk.read(url, "SELECT b FROM source WHERE a = 2").rows() == [("y",)]
    assert desk.read(site.put("/rows.csv.gz", gzip.compress(CSV, mtime=0))).height == 2
    assert desk.read(site.put("/", b'{"a":1}\n')).rows() == [(1,)]


@pytest.mark.parametrize("letter", ["x", "é", "魚", "𠀋"])
def test_a_long_name_is_cut_at_a_letter_of_it(desk: Desk, site: Site, letter: str) -> None:
    assert desk.read(site.put("/" + quote(letter * 245 + ".csv"), CSV)).height == 2


def test_redirects_are_followed_on_the_same_host_alone(desk: Desk, site: Site) -> None:
    site.put("/rows.csv", CSV)
    assert desk.read(site.redirect("/old.csv", "/rows.csv")).height == 2
    with Site() as other:  # another port is another server
        with pytest.raises(
            SourceUnreadable, match=r"/away\.csv sends us on to http://127\.0\.0\.1:\d+/x\.csv, another"
        ):
            desk.read(site.redirect("/away.csv", other.url("/x.csv")))
        assert other.asked == []
    for to in ("file:///etc/passwd", "ftp://127.0.0.1/x", "http://localhost/x.csv"):
        with pytest.raises(SourceUnreadable, match=r"another host or scheme; if you trust it, name that address"):
            desk.read(site.redirect("/away.csv", to))
    with pytest.raises(SourceUnreadable, match=r"more than 5 redirects"):
        desk.read(site.redirect("/loop.csv", "/loop.csv"))


def test_what_is_no_file_is_said(desk: Desk, site: Site) -> None:
    with pytest.raises(SourceUnreadable, match=r"/no\.csv cannot be fetched: the server answers 404 Not Found"):
        desk.read(site.put("/no.csv", b"<html>", status=404))
    with pytest.raises(SourceUnreadable, match=r"cannot be fetched: .*Connection refused"):
        with Site() as gone:
            url = gone.url("/x.csv")
        desk.read(url)
    with pytest.raises(SourceUnreadable, match=r"is empty"):
        desk.read(site.put("/empty.csv", b""))
    with pytest.raises(SourceUnreadable, match=r"cannot be fetched"):
        desk.read("http://127.0.0.1:notaport/x.csv")


def test_a_body_that_breaks_off_is_not_taken(desk: Desk, site: Site) -> None:
    with pytest.raises(SourceUnreadable, match=r"/torn\.csv (cannot be fetched|broke off)"):
        desk.read(site.put("/torn.csv", CSV, length=len(CSV) + 10))


def test_size_and_time_have_a_limit(desk: Desk, site: Site) -> None:
    small = DownloadLimits(most_bytes=100_000)
    with pytest.raises(SourceUnreadable, match=r"is larger than 100,000 bytes; raise APPLIANCE_MAX_UPLOAD_BYTES"):
        desk.read(site.put("/large.csv", CSV * 20_000), limits=small)
    with pytest.raises(SourceUnreadable, match=r"is larger than 100,000 bytes"):
        desk.read(site.trickle("/endless.csv"), limits=small)
    with pytest.raises(SourceUnreadable, match=r"did not arrive in time .* raise APPLIANCE_DOWNLOAD_TIMEOUT_S"):
        desk.read(site.trickle("/endless.csv"), limits=DownloadLimits(timeout_s=0.3))


def test_no_room_for_a_download_is_said(desk: Desk, site: Site, small_disk: SmallDisk) -> None:
    url = site.put("/large.csv", CSV * 300_000)
    with (
        pytest.raises(StateUnwritable, match=r"cannot keep http://.*large\.csv in .*: No space left on device"),
        open_source(url, SourceOptions(tmp=small_disk.path)),
    ):
        pass
    assert list(Path(small_disk.path).glob("scratch-*")) == []


def test_a_password_is_neither_told_nor_recorded(desk: Desk, site: Site) -> None:
    url = site.put("/no.csv", b"", status=403).replace("http://", "http://ann:geheim@")
    with pytest.raises(SourceUnreadable, match=r"http://ann@127") as told:
        desk.read(url)
    assert "geheim" not in str(told.value)
    assert told_source(url) == redacted(url) == url.replace(":geheim", "")
    assert told_source("x.csv") == str(Path("x.csv").absolute())
