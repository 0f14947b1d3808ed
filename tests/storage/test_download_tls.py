"""Files fetched over TLS, from a server that an authority of the house signed, and from servers not to be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.download import DownloadLimits
from storage.errors import SourceUnreachable, SourceUnreadable
from tests.storage.certificates import Authority
from tests.storage.desk import Desk
from tests.storage.site import serve

CSV = b"a,b\n1,x\n2,y\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "house")


def test_an_authority_of_our_own_is_trusted_where_the_setting_names_it(desk: Desk, authority: Authority) -> None:
    with serve(authority.server()) as site:
        url = site.put("/rows.csv", CSV)
        assert desk.read(url, limits=DownloadLimits(ca=authority.path)).rows() == [(1, "x"), (2, "y")]
        assert url.startswith("https://")
        assert site.asked == ["/rows.csv"]


def test_a_certificate_that_nobody_trusts_is_said_with_the_way_out(
    desk: Desk, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    told = r"the server's certificate is not trusted: .*; where an authority of your own .*APPLIANCE_DOWNLOAD_CA"
    with serve(authority.server()) as site:
        for limits in (DownloadLimits(), DownloadLimits(ca=other.path)):
            with pytest.raises(SourceUnreadable, match=told) as refused:
                desk.read(site.put("/rows.csv", CSV), limits=limits)
            assert not isinstance(refused.value, SourceUnreachable), "it does not pass by itself"
        assert site.asked == []


@pytest.mark.parametrize(
    ("host", "days", "why"), [("127.0.0.1", -1, "certificate has expired"), ("127.0.0.9", 1, "IP address mismatch")]
)
def test_a_certificate_that_is_old_or_of_another_host_is_refused(
    desk: Desk, authority: Authority, host: str, days: int, why: str
) -> None:
    with (
        serve(authority.server(host, days=days)) as site,
        pytest.raises(SourceUnreadable, match=rf"is not trusted: {why}"),
    ):
        desk.read(site.put("/rows.csv", CSV), limits=DownloadLimits(ca=authority.path))


def test_a_server_that_speaks_no_tls_is_said(desk: Desk) -> None:
    with (
        serve() as site,
        pytest.raises(SourceUnreadable, match=r"the server does not speak TLS as we do .* is it http"),
    ):
        desk.read(site.put("/rows.csv", CSV).replace("http:", "https:"))


def test_a_setting_that_names_no_certificate_is_said(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "not.pem").write_text("none")
    for path in (tmp_path / "not.pem", tmp_path / "nowhere.pem"):
        with pytest.raises(SourceUnreadable, match=rf"{path} cannot be read as certificates in PEM .*download_ca"):
            desk.read("https://127.0.0.1:1/rows.csv", limits=DownloadLimits(ca=path))


def test_http_goes_on_to_https_of_the_same_host(desk: Desk, authority: Authority) -> None:
    with serve(authority.server()) as safe, serve() as plain:
        to = safe.put("/rows.csv", CSV)
        assert desk.read(plain.redirect("/rows.csv", to), limits=DownloadLimits(ca=authority.path)).height == 2
