"""With units: which files the installer makes, keeps and takes away, on a host where nothing is really started."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.host import STATE, UNITS, Host, installed, pretended
from tests.install.place import ROOT, Done, free_ports

SETTINGS = "/etc/appliance/appliance.toml"

TLS_WANTED = f"{UNITS}/appliance.target.d/30-tls.conf"
KEY_HANDED_OVER = f"{UNITS}/appliance-tls.service.d/20-key.conf"
KEY = "/etc/appliance/tls/key.pem"
CERTIFICATE = "/etc/appliance/tls/cert.pem"
PASSPHRASE_HANDED_OVER = {f"{UNITS}/appliance-{unit}.service.d/20-passphrase.conf" for unit in ("backup", "ui")}
"""To whoever makes backups: every night, and when the dashboard is asked."""
ENDS_AGAIN = """case "$*" in *ActiveState*)
  echo >>"$0-looks"
  printf 'ActiveState=activating\\nSubState=auto-restart\\nNRestarts=%s\\n' "$(wc -l <"$0-looks")" ;;
esac
"""
"""What systemctl says of units that end again and again."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with pretended(tmp_path) as host:
        yield host


def test_a_dry_run_touches_nothing(host: Host) -> None:
    before = host.ok("find /opt /etc /var/log /usr/local/bin ! -type c | sort")
    done = host.install("--dry-run")
    assert done.code == 0, done.err
    assert "would: Installing the units and the user appliance" in done.out
    assert "Nothing was changed." in done.out
    assert host.ok("find /opt /etc /var/log /usr/local/bin ! -type c | sort") == before
    assert host.run(f"test -e {STATE}").code


@pytest.mark.parametrize("flags", ["", "--tls self", "--listen 0.0.0.0"])
@pytest.mark.parametrize("switched", [True, False], ids=["switched", "new"])
def test_a_dry_run_says_each_step_of_the_run_that_follows(host: Host, flags: str, switched: bool) -> None:
    host.place_release()
    if not switched:
        host.ok("rm /opt/appliance/current")
    said = re.findall("^  would: (.*)$", host.install(f"{flags} --dry-run").out, flags=re.MULTILINE)
    done = re.findall(r"^\[[0-9]+\] (.*) \.\.\. ", installed(host, flags), flags=re.MULTILINE)
    assert said == done
    assert len(done) > 3
    assert "would:" not in host.install(f"{flags} --dry-run").out


def test_where_sigpipe_is_ignored_no_program_complains(host: Host) -> None:
    """As in a unit of systemd, or below Python's own."""
    host.place_release()
    done = host.run(f"trap '' PIPE; {host.command()}")
    assert (done.code, done.err) == (0, "")


def test_one_installer_at_a_time(host: Host) -> None:
    host.place_release()
    installed(host)
    for flags in ("", "--uninstall", "--rollback"):
        done = host.run(f"flock /opt/appliance/.installing {host.command(flags)}")
        assert (done.code, done.out) == (2, "")
        assert "another installer is at work below /opt/appliance; run this again once that has ended" in done.err
    done = host.run(f"flock /opt/appliance/.installing {host.command('--dry-run')}")
    assert (done.code, "Nothing was changed." in done.out) == (0, True), "it only looks"
    assert "nothing was changed" in installed(host)
    said = host.install("--uninstall --dry-run").out
    assert (
        f"would keep: the state and its backups in {STATE}, the settings in {SETTINGS}\nNothing was changed.\n" in said
    )


def test_a_state_that_is_a_file_system_of_its_own_is_purged_too(host: Host) -> None:
    host.place_release()
    host.ok(f"mkdir {STATE} && mount -t tmpfs tmpfs {STATE} && mkdir {STATE}/lost+found")
    installed(host)
    host.ok(f"test -e {STATE}/secret")
    host.ok(f"chattr +i {SETTINGS} 2>/dev/null || mount --bind {SETTINGS} {SETTINGS}")
    done = host.install("--uninstall --purge --yes")
    assert (done.code, "appliance.toml" in done.err) == (3, True), "what stood in its way is shown"
    host.ok(f"chattr -i {SETTINGS} 2>/dev/null || umount {SETTINGS}")
    done = host.install("--uninstall --purge --yes")
    assert done.code == 0, done.err
    assert host.ok(f"ls -A {STATE}") == "lost+found\n"
    assert host.run("test -e /etc/appliance").code


def test_nothing_is_run_that_was_written_behind_its_end_meanwhile(host: Host) -> None:
    host.place_release()
    flags = host.command().partition("install.sh")[2]
    functions = f". {host.folder}/functions.sh"
    done = host.run(f"cd {ROOT}; sh -c '{functions}; main \"$@\"; echo pulled' sh {flags}")
    assert (done.code, "pulled" in done.out) == (0, False), done.err
    assert "Dashboard" in done.out


def test_a_demo_without_a_start_is_told_to_wait(host: Host) -> None:
    host.place_release()
    assert "load it later with 'appliance demo'" in installed(host, "--demo")
    assert "load it later" not in installed(host)


def test_what_is_installed_and_does_not_become_well_has_a_code_of_its_own(host: Host) -> None:
    host.place_release()
    host.ok("rm /opt/appliance/current")
    systemctl = host.folder / "bin" / "systemctl"
    systemctl.write_text(systemctl.read_text() + ENDS_AGAIN)
    done = host.run(host.command().replace(" --no-start ", " "))
    assert done.code == 4, done.out + done.err
    assert "See 'appliance doctor' and 'appliance logs'." in done.err
    assert host.ok("/opt/appliance/bin/appliance key list --json"), "what is installed stays, to be looked at"


def test_tls_that_is_switched_off_is_wanted_no_more(host: Host) -> None:
    host.place_release()
    installed(host, "--tls self")
    assert {TLS_WANTED, KEY_HANDED_OVER} <= host.listing(UNITS)
    assert "nothing was changed" in installed(host)
    assert "Installing the units" in installed(host, "--tls off")
    assert not {TLS_WANTED, KEY_HANDED_OVER} & host.listing(UNITS)
    assert "nothing was changed" in installed(host)


def test_the_own_certificate_is_made_anew_for_another_address(host: Host) -> None:
    host.place_release()
    installed(host, "--tls self --listen 127.0.0.1")
    made = host.ok(f"sha256sum {CERTIFICATE}")
    assert "nothing was changed" in installed(host, "--tls self")
    assert "Writing the certificate" in installed(host, "--tls self --listen 0.0.0.0")
    assert host.ok(f"sha256sum {CERTIFICATE}") != made
    assert host.ok(f"stat -c '%U:%G %a' {KEY}") == "root:root 600\n"
    assert "nothing was changed" in installed(host, "--tls self")


@pytest.mark.parametrize(
    ("host_mb", "limits_mb"),
    [(1500, (1024, 768, 1024)), (8000, (3200, 1152, 1600)), (64000, (8192, 2048, 4096))],
)
def test_memory_is_sized_by_the_host(host: Host, host_mb: int, limits_mb: tuple[int, int, int]) -> None:
    host.place_release()
    (host.folder / "meminfo").write_text(f"MemTotal:       {host_mb * 1024} kB\n")
    host.ok(f"mount --bind {host.folder}/meminfo /proc/meminfo")
    installed(host)
    said = [
        host.ok(f"cat {UNITS}/appliance-{unit}.service.d/20-memory.conf") for unit in ("ui", "orchestrator", "mlflow")
    ]
    assert [text.splitlines()[-1] for text in said] == [f"MemoryMax={mb}M" for mb in limits_mb]


def test_the_key_of_an_earlier_installation_becomes_roots_alone(host: Host) -> None:
    host.place_release()
    installed(host, "--tls self")
    made = host.ok(f"sha256sum {KEY}")
    assert host.ok(f"stat -c '%U:%G %a' {KEY}") == "root:root 600\n"
    settings = host.ok(f"cat {SETTINGS}")
    assert tomllib.loads(settings)["tls_key"] == "/run/credentials/appliance-tls.service/tls-key"
    write_settings(host, settings.replace("/run/credentials/appliance-tls.service/tls-key", KEY))
    host.ok(f"rm {KEY_HANDED_OVER} && chgrp appliance {KEY} && chmod 640 {KEY}")
    assert "Closing the certificate's key to all but root" in installed(host)
    assert KEY_HANDED_OVER in host.listing(UNITS)
    assert host.ok(f"cat {SETTINGS}") == settings
    assert host.ok(f"stat -c '%U:%G %a' {KEY}") == "root:root 600\n"
    assert host.ok(f"sha256sum {KEY}") == made
    assert "nothing was changed" in installed(host)


def test_a_passphrase_that_was_removed_is_handed_over_no_more(host: Host) -> None:
    host.place_release()
    host.ok("mkdir -p /etc/appliance && echo secret >/etc/appliance/backup-passphrase")
    installed(host)
    assert host.listing(UNITS) >= PASSPHRASE_HANDED_OVER
    assert "nothing was changed" in installed(host)
    host.ok("echo another >/etc/appliance/backup-passphrase")
    assert "Installing the units" in installed(host), "the dashboard is started again and reads it"
    host.ok("rm /etc/appliance/backup-passphrase")
    said = installed(host)
    first, _, rest = said.partition("Having backups in clear, since the passphrase was removed")
    assert ("Installing" in first, "Installing the units" in rest) == (False, True), said
    assert "nothing was changed" in installed(host)
    assert not PASSPHRASE_HANDED_OVER & host.listing(UNITS)


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ("'/mnt/other disk/backups'", "/mnt/other disk/backups"),
        ("""'/mnt/100% \"safe\"/backups'""", r"/mnt/100%% \"safe\"/backups"),
    ],
)
def test_the_units_may_write_where_the_settings_say_that_backups_lie(host: Host, setting: str, allowed: str) -> None:
    drop_in = f"{UNITS}/appliance-.service.d/20-state.conf"
    host.place_release()
    installed(host)
    before = host.ok(f"cat {drop_in} 2>/dev/null || true")
    write_settings(host, host.ok(f"cat {SETTINGS}") + f"backup_dir = {setting}\n")
    assert "Installing the units" in installed(host)
    assert f'ReadWritePaths="-{allowed}"' in host.ok(f"cat {drop_in}")
    assert "nothing was changed" in installed(host)
    host.ok(f"sed -i /backup_dir/d {SETTINGS}")
    assert "Installing the units" in installed(host)
    assert host.ok(f"cat {drop_in} 2>/dev/null || true") == before


def test_a_systemd_that_cannot_show_a_part_of_proc_is_not_asked_for_it(host: Host) -> None:
    """Beside ProtectKernelTunables= that came with 250."""
    host.place_release()
    asking = {
        path.name if path.suffix == ".service" else path.parent.name.removesuffix(".d")
        for path in (ROOT / "systemd" / "units").rglob("*")
        if path.is_file() and "ProcSubset=pid" in path.read_text().splitlines()
    }
    instead = {f"{UNITS}/{unit}.d/30-proc.conf" for unit in asking}
    systemctl = host.folder / "bin" / "systemctl"
    systemctl.write_text(systemctl.read_text().replace("252", "249"))
    installed(host)
    assert {path for path in host.listing(UNITS) if path.endswith("30-proc.conf")} == instead
    assert all(host.ok(f"cat {path}") == "[Service]\nProcSubset=all\n" for path in instead)
    systemctl.write_text(systemctl.read_text().replace("249", "250"))
    assert "Installing the units" in installed(host)
    assert not instead & host.listing(UNITS)


def test_an_address_that_is_closed_again_stops_what_listens(host: Host) -> None:
    """The sockets are opened anew: a drop-in of a socket that went is a change of a socket."""
    host.place_release()
    installed(host, "--listen 0.0.0.0")
    opened = {f"{UNITS}/appliance-{unit}.d/30-listen.conf" for unit in ("api.socket", "api.service")}
    assert opened <= host.listing(UNITS)
    installed(host, "--listen 127.0.0.1")
    assert not opened & host.listing(UNITS)


@pytest.mark.parametrize("flags", ["--listen 0.0.0.0", "--tls self"])
def test_every_file_that_is_made_is_taken_away_again(host: Host, flags: str) -> None:
    """What is in none of the installer's lists would stay for good."""
    host.place_release()
    host.ok("mkdir -p /etc/appliance && echo secret >/etc/appliance/backup-passphrase")
    installed(host, flags)
    assert host.install("--uninstall").code == 0
    assert host.ok("find /etc/systemd /etc/sysusers.d /etc/tmpfiles.d -name '*appliance*'") == ""


def test_a_file_that_the_installer_did_not_make_is_kept_and_named(host: Host) -> None:
    host.place_release()
    installed(host, "--tls self")
    own = f"{UNITS}/appliance-api.service.d/50-own.conf"
    host.ok(f"mkdir -p {UNITS}/appliance-api.service.d && printf '[Service]\nNice=1\n' >{own}")
    assert "nothing was changed" in installed(host)
    assert own in host.install("--uninstall --dry-run").out
    done = host.install("--uninstall")
    assert done.code == 0, done.err
    assert f"Kept, since the installer did not make it; --purge --yes removes it too:\n  {own}\n" in done.out
    assert [path for path in host.listing(UNITS) if "appliance" in path] == [own]
    done = host.install("--uninstall --purge --yes")
    assert done.code == 0, done.err
    assert f"which the installer did not make:\n  {own} ..." in done.out
    assert host.ok(f"find {UNITS} -name 'appliance*'") == ""


def rerun(host: Host, flags: str = "") -> Done:
    """Without naming what the settings file holds."""
    return host.run(f"sh {ROOT}/install.sh --python {host.python} --no-start {flags}")


def write_settings(host: Host, text: str) -> None:
    (host.folder / "written").write_text(text)
    host.ok(f"cp {host.folder}/written {SETTINGS}")


def by_hand(host: Host) -> str:
    """The settings file as somebody may have written it."""
    said = tomllib.loads(host.ok(f"cat {SETTINGS}"))
    api = str(said["api_port"])
    ports = [f"{name} = {said[name]}" for name in said if name.endswith("_port") and name != "api_port"]
    return (
        f"# ours\n  api_port = {api[:-3]}_{api[-3:]}  # behind nginx\n\"listen\" = '127.0.0.1'\n"
        f"state = '{STATE}'\n" + "\n".join(ports) + "\n"
        'metrics_aliases = [\n  "mlserver",\n]\nsystemd = true\n[notes]\nui_port = "beside nginx"\n'
    )


def test_settings_are_read_as_toml_and_stay_as_somebody_wrote_them(host: Host) -> None:
    host.place_release()
    installed(host)
    text = by_hand(host)
    write_settings(host, text)
    again = rerun(host)
    assert again.code == 0, again.err
    assert "nothing was changed" in again.out
    assert host.ok(f"cat {SETTINGS}") == text


def test_a_flag_changes_its_own_line_of_the_settings_alone(host: Host) -> None:
    host.place_release()
    installed(host)
    text = by_hand(host)
    before = tomllib.loads(text)
    write_settings(host, text)
    [port, tls_port] = free_ports(2)
    done = rerun(host, f"--ui-port {port} --tls self --tls-ui-port {tls_port}")
    assert done.code == 0, done.err
    changed = tomllib.loads(host.ok(f"cat {SETTINGS}"))
    assert {name: changed[name] for name in before} == before | {"ui_port": port}
    assert changed["tls_ui_port"] == tls_port
    assert "# behind nginx" in host.ok(f"cat {SETTINGS}")
    done = rerun(host, f"--ui-port {before['ui_port']} --tls off")
    assert done.code == 0, done.err
    assert tomllib.loads(host.ok(f"cat {SETTINGS}")) == before


def test_settings_that_are_no_toml_are_said_and_nothing_is_done(host: Host) -> None:
    host.place_release()
    installed(host)
    write_settings(host, "api_port = \n")
    done = rerun(host)
    assert done.code == 2
    assert f"E015  {SETTINGS}: Invalid value (at line 1, column 12)" in done.err
    done = rerun(host, "--uninstall --purge --yes")
    assert (done.code, f"{SETTINGS}: Invalid value" in done.err) == (1, True)
    assert host.ok(f"cat {SETTINGS}") == "api_port = \n"


def test_a_python_in_a_home_directory_is_said(host: Host) -> None:
    """The units cannot see it; below one directory it does."""
    host.ok(f"mkdir -p /home/somebody/python && mount --bind {host.folder}/python /home/somebody/python")
    python = Path("/home/somebody/python/bin") / host.python.name
    done = host.install("--dry-run", python=python)
    assert done.code == 2
    assert f"E003  {python} lies in a home directory, which the units cannot see\n" in done.err
    assert "-> install the distribution's own: " in done.err
    done = host.install(f"--dry-run --local {host.folder}/place", python=python)
    assert done.code == 0, done.err
