#!/bin/sh
# Installs the appliance, or brings an installation to this checkout; a second run with nothing new changes nothing.
# ./install.sh --help says how; systemd/README.md says what lies where afterwards.
# shellcheck disable=SC2329  # "step" calls functions by their names
set -eu

EXIT_USAGE=1
EXIT_PREFLIGHT=2
EXIT_FAILED=3
EXIT_UNHEALTHY=4

usage() {
  cat <<'HELP'
Usage: ./install.sh [--demo] [--local DIR] [options]

As root on a host that runs systemd: installs below /opt/appliance, state in /var/lib/appliance, starts the units.
Otherwise, or with --local: installs below one directory and writes nothing outside it.

  --local DIR               install below DIR, without root and without systemd  (APPLIANCE_LOCAL; ./.appliance)
  --state DIR               the state directory                                  (APPLIANCE_STATE)
  --listen ADDRESS          address of the API and the dashboard                 (APPLIANCE_LISTEN; 127.0.0.1)
  --api-port PORT           inference API                                        (APPLIANCE_API_PORT; 8000)
  --ui-port PORT            dashboard                                            (APPLIANCE_UI_PORT; 8080)
  --orchestrator-port PORT  Prefect, loopback only                               (APPLIANCE_ORCHESTRATOR_PORT; 4200)
  --mlflow-port PORT        MLflow, loopback only                                (APPLIANCE_MLFLOW_PORT; 5000)
  --ui-mlflow-port PORT     MLflow behind the dashboard's login, 0: not there    (APPLIANCE_UI_MLFLOW_PORT; the next free one)
  --ui-prefect-port PORT    Prefect behind the dashboard's login, 0: not there   (APPLIANCE_UI_PREFECT_PORT; the next free one)
  --tls self|CERT,KEY|off   TLS on the four ports below, the plain ones on loopback (APPLIANCE_TLS)
  --tls-api-port PORT       inference API over TLS                               (APPLIANCE_TLS_API_PORT; 8443)
  --tls-ui-port PORT        dashboard over TLS                                   (APPLIANCE_TLS_UI_PORT; 8444)
  --tls-ui-mlflow-port PORT   MLflow behind the login over TLS                   (APPLIANCE_TLS_UI_MLFLOW_PORT; the next free one)
  --tls-ui-prefect-port PORT  Prefect behind the login over TLS                  (APPLIANCE_TLS_UI_PREFECT_PORT; the next free one)
  --python PROGRAM          the Python to use, 3.11 or newer                     (APPLIANCE_PYTHON)
  --offline BUNDLE          install from a bundle, without any network           (APPLIANCE_OFFLINE)
  --with postgres|none      also what Postgres sources need; kept by an upgrade  (APPLIANCE_WITH; none)
  --demo                    then run the bike-sharing demo                       (APPLIANCE_DEMO=1)
  --no-start                install only                                         (APPLIANCE_NO_START=1)
  --no-backup               upgrade without a backup before it                   (APPLIANCE_NO_BACKUP=1)
  --dry-run                 check the host and say what would be done            (APPLIANCE_DRY_RUN=1)

Instead of installing:
  --upgrade                 the same as without, but refuse where nothing is installed  (APPLIANCE_UPGRADE=1)
  --rollback [--yes]        back to the release before the last upgrade                 (APPLIANCE_ROLLBACK=1)
  --uninstall               remove all but the state and the settings                   (APPLIANCE_UNINSTALL=1)
  --uninstall --purge --yes remove these too                                            (APPLIANCE_PURGE=1, APPLIANCE_YES=1)
  --make-bundle FILE        one file with which --offline installs this release         (APPLIANCE_MAKE_BUNDLE)
  --codes                   list the codes of what the pre-flight finds

Exit codes: 0 done, or nothing to do; 1 usage; 2 this host is not ready (everything that is missing is listed);
3 a step failed (what was installed before goes on); 4 installed, but not healthy after the start.
HELP
}

# What the pre-flight may find; systemd/README.md has this list, and a test holds the two against each other.
codes() {
  cat <<'CODES'
E001 not Linux, no packages for this architecture, or a glibc before 2.28
E002 less than 1.5 GB of memory
E003 no Python 3.11 to 3.13 with venv (for units: outside of home directories)
E004 `libgomp.so.1` is missing
E005 the installation directory cannot be written, or has too little room: 3 GB, with the state on the same file system 3.5
E006 the same for the state directory: 500 MB
E007 a port is no port, is given twice, or needs root
E008 the address to listen on is not this host's
E009 a port is taken by something else
E010 a release of the distribution that is too old
E011 a systemd before 249
E012 the bundle is missing, damaged, or for another Python or architecture
E013 the installation directory holds something else
E014 the certificate or its key cannot be used
E015 the settings file is no TOML
E016 units cannot use the state directory: its name, or where it lies
CODES
}

# --- arguments and settings ---------------------------------------------------------------------------------------

parse_arguments() {
  LOCAL=${APPLIANCE_LOCAL:-} PYTHON=${APPLIANCE_PYTHON:-}
  for flag in DEMO NO_START DRY_RUN UPGRADE ROLLBACK UNINSTALL PURGE YES NO_BACKUP; do read_twin "$flag"; done
  WITH=${APPLIANCE_WITH:-} OFFLINE=${APPLIANCE_OFFLINE:-} MAKE_BUNDLE=${APPLIANCE_MAKE_BUNDLE:-}
  while [ $# -gt 0 ]; do
    case $1 in
      --*=*)
        option=${1%%=*} value=${1#*=}
        shift
        set -- "$option" "$value" "$@"
        continue ;;
      --demo) DEMO=1 ;;
      --no-start) NO_START=1 ;;
      --dry-run) DRY_RUN=1 ;;
      --no-backup) NO_BACKUP=1 ;;
      --upgrade) UPGRADE=1 ;;
      --rollback) ROLLBACK=1 ;;
      --uninstall) UNINSTALL=1 ;;
      --purge) PURGE=1 ;;
      --yes) YES=1 ;;
      --codes)
        codes
        exit 0 ;;
      -h | --help)
        usage
        exit 0 ;;
      --local | --python | --state | --listen | --api-port | --ui-port | --orchestrator-port | --mlflow-port | \
        --offline | --make-bundle | --with | --tls | --tls-api-port | --tls-ui-port | --ui-mlflow-port | --ui-prefect-port | \
        --tls-ui-mlflow-port | --tls-ui-prefect-port)
        [ $# -ge 2 ] && [ -n "$2" ] || refuse "$1 needs a value"
        case $1 in
          --local) LOCAL=$2 ;;
          --python) PYTHON=$2 ;;
          --offline) OFFLINE=$2 ;;
          --with) WITH=$2 ;;
          --tls) APPLIANCE_TLS=$2 ;;
          --tls-api-port) APPLIANCE_TLS_API_PORT=$2 ;;
          --tls-ui-port) APPLIANCE_TLS_UI_PORT=$2 ;;
          --tls-ui-mlflow-port) APPLIANCE_TLS_UI_MLFLOW_PORT=$2 ;;
          --tls-ui-prefect-port) APPLIANCE_TLS_UI_PREFECT_PORT=$2 ;;
          --make-bundle) MAKE_BUNDLE=$2 ;;
          --state) APPLIANCE_STATE=$2 ;;
          --listen) APPLIANCE_LISTEN=$2 ;;
          --api-port) APPLIANCE_API_PORT=$2 ;;
          --ui-port) APPLIANCE_UI_PORT=$2 ;;
          --orchestrator-port) APPLIANCE_ORCHESTRATOR_PORT=$2 ;;
          --mlflow-port) APPLIANCE_MLFLOW_PORT=$2 ;;
          --ui-mlflow-port) APPLIANCE_UI_MLFLOW_PORT=$2 ;;
          --ui-prefect-port) APPLIANCE_UI_PREFECT_PORT=$2 ;;
        esac
        shift ;;
      *) refuse "there is no option $1" ;;
    esac
    shift
  done
  case $WITH in '' | postgres | none) ;; *) refuse "--with is postgres or none" ;; esac
  [ -z "$PURGE" ] || [ -n "$UNINSTALL" ] || refuse "--purge goes with --uninstall"
  [ -z "$PURGE" ] || [ -n "$YES" ] || refuse "--purge removes the data for good: add --yes"
  chosen=
  for one in "$UPGRADE" "$ROLLBACK" "$UNINSTALL" "$MAKE_BUNDLE"; do
    [ -z "$one" ] || [ -z "$chosen" ] || refuse "--upgrade, --rollback, --uninstall and --make-bundle exclude each other"
    chosen=$chosen$one
  done
  [ -z "$OFFLINE" ] || OFFLINE=$(absolute "$OFFLINE")
  [ -z "$MAKE_BUNDLE" ] || MAKE_BUNDLE=$(absolute "$MAKE_BUNDLE")
}

read_twin() { # FLAG: what the environment says of it
  eval "said=\${APPLIANCE_$1:-}"
  case $(printf '%s' "$said" | tr '[:upper:]' '[:lower:]') in
    1 | true | yes | on) eval "$1=1" ;;
    '' | 0 | false | no | off) eval "$1=" ;;
    *) refuse "APPLIANCE_$1 is 1 or 0 (true or false, yes or no, on or off), not $said" ;;
  esac
}

refuse() {
  echo "install.sh: $1; ./install.sh --help lists the options" >&2
  exit "$EXIT_USAGE"
}

absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s/%s\n' "$(pwd)" "${1#./}" ;; esac; }

choose_layout() {
  SOURCE=$(cd "$(dirname "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd -P)
  MODE=local why=
  if [ -z "$LOCAL" ]; then
    if [ "$(id -u)" != 0 ]; then
      why="not root"
    elif [ ! -d /run/systemd/system ]; then
      why="this host was not booted with systemd"
    else
      MODE=system
    fi
  fi
  if [ "$MODE" = system ]; then
    BASE=/opt/appliance CONFIG=/etc/appliance/appliance.toml LOG=/var/log/appliance-install.log
    default_state=/var/lib/appliance
  else
    BASE=$(absolute "${LOCAL:-.appliance}")
    CONFIG=$BASE/appliance.toml LOG=$BASE/install.log default_state=$BASE/state
  fi
  read_settings
  STATE=$(absolute "$(setting state "${APPLIANCE_STATE:-}" "$default_state")")
  LISTEN=$(address_of "$(setting listen "${APPLIANCE_LISTEN:-}" 127.0.0.1)")
  API_PORT=$(setting api_port "${APPLIANCE_API_PORT:-}" 8000)
  UI_PORT=$(setting ui_port "${APPLIANCE_UI_PORT:-}" 8080)
  ORCHESTRATOR_PORT=$(setting orchestrator_port "${APPLIANCE_ORCHESTRATOR_PORT:-}" 4200)
  MLFLOW_PORT=$(setting mlflow_port "${APPLIANCE_MLFLOW_PORT:-}" 5000)
  UI_MLFLOW_PORT=$(setting ui_mlflow_port "${APPLIANCE_UI_MLFLOW_PORT:-}" '')
  UI_PREFECT_PORT=$(setting ui_prefect_port "${APPLIANCE_UI_PREFECT_PORT:-}" '')
  choose_tls
  [ -n "$WITH" ] || [ ! -r "$BASE/current/with" ] || WITH=$(cat "$BASE/current/with")
  COMMAND=$BASE/bin/appliance
  [ "$MODE" = local ] || COMMAND=appliance
  # What pip, uv and the appliance read is said here alone: flags win over the file that an earlier run wrote.
  unset APPLIANCE_STATE APPLIANCE_LISTEN APPLIANCE_API_PORT APPLIANCE_UI_PORT APPLIANCE_ORCHESTRATOR_PORT \
    APPLIANCE_MLFLOW_PORT APPLIANCE_CONFIG APPLIANCE_TLS APPLIANCE_TLS_API_PORT APPLIANCE_TLS_UI_PORT \
    APPLIANCE_UI_MLFLOW_PORT APPLIANCE_UI_PREFECT_PORT APPLIANCE_TLS_UI_MLFLOW_PORT APPLIANCE_TLS_UI_PREFECT_PORT
  PROXY_FILE=$(dirname "$CONFIG")/proxy.env
}

# A socket of systemd's knows no names.
address_of() { if [ "$1" = localhost ]; then echo 127.0.0.1; else printf '%s\n' "$1"; fi; }

is_loopback() { case $1 in '' | 127.* | ::1 | localhost) return 0 ;; *) return 1 ;; esac; }

# With TLS the plain ports stay on loopback, and the address to listen on is that of the TLS ports.
choose_tls() {
  TLS_FOLDER=$(dirname "$CONFIG")/tls GIVEN_CERT='' GIVEN_KEY=''
  # With units root alone reads the key, and systemd hands it to the one that speaks TLS, where it is found under this name.
  TLS_CREDENTIAL=tls-key TLS_KEY=$TLS_FOLDER/key.pem
  [ "$MODE" = local ] || TLS_KEY=/run/credentials/appliance-tls.service/$TLS_CREDENTIAL
  TLS_API_PORT=$(setting tls_api_port "${APPLIANCE_TLS_API_PORT:-}" 8443)
  TLS_UI_PORT=$(setting tls_ui_port "${APPLIANCE_TLS_UI_PORT:-}" 8444)
  TLS_UI_MLFLOW_PORT=$(setting tls_ui_mlflow_port "${APPLIANCE_TLS_UI_MLFLOW_PORT:-}" '')
  TLS_UI_PREFECT_PORT=$(setting tls_ui_prefect_port "${APPLIANCE_TLS_UI_PREFECT_PORT:-}" '')
  TLS=$(setting tls_cert '' '') HAD_TLS=''
  [ -z "$TLS" ] || HAD_TLS=1
  PLAIN_LISTEN_FILE=$TLS_FOLDER/plain-listen
  case ${APPLIANCE_TLS:-} in
    '') ;;
    off) TLS='' ;;
    self) TLS=self ;;
    *,*) TLS=given GIVEN_CERT=$(absolute "${APPLIANCE_TLS%%,*}") GIVEN_KEY=$(absolute "${APPLIANCE_TLS#*,}") ;;
    *) refuse "--tls is self, off, or CERT,KEY" ;;
  esac
  if [ -n "$TLS" ]; then
    TLS_LISTEN=0.0.0.0
    is_loopback "$LISTEN" || TLS_LISTEN=$LISTEN
    TLS_LISTEN=$(address_of "$(setting tls_listen "${APPLIANCE_LISTEN:-}" "$TLS_LISTEN")")
    LISTEN=127.0.0.1
  elif [ -n "$HAD_TLS" ] && [ -z "${APPLIANCE_LISTEN:-}" ] && [ -r "$PLAIN_LISTEN_FILE" ]; then
    LISTEN=$(cat "$PLAIN_LISTEN_FILE")
  fi
}

# Where the plain ports were reached from elsewhere before TLS, they are again after it; where they were not, they stay closed.
keep_plain_listen() {
  before=$(setting listen '' '')
  if [ -z "$TLS" ] || { [ -z "$HAD_TLS" ] && is_loopback "$before"; }; then
    rm -f "$PLAIN_LISTEN_FILE"
  elif [ -z "$HAD_TLS" ]; then
    mkdir -p "$TLS_FOLDER"
    printf '%s\n' "$before" >"$PLAIN_LISTEN_FILE"
  fi
}

# setting NAME GIVEN DEFAULT: what was given now, else what the config file of an earlier run says, else the default.
setting() {
  if [ -n "$2" ]; then
    printf '%s\n' "$2"
  elif line=$(printf '%s\n' "$SETTINGS" | grep "^$1="); then
    printf '%s\n' "${line#*=}"
  else
    printf '%s\n' "$3"
  fi
}

# What the config file of an earlier run says, a line each; SETTINGS_PROBLEM where that cannot be had.
read_settings() {
  SETTINGS='' SETTINGS_PROBLEM=''
  [ -e "$CONFIG" ] || return 0
  for candidate in ${PYTHON:+"$PYTHON"} "$BASE/current/venv/bin/python" python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    reader=$(command -v "$candidate" 2>/dev/null) || continue
    "$reader" -c 'import tomllib' 2>/dev/null || continue
    SETTINGS=$(settings_file "$reader" read 2>&1) || SETTINGS_PROBLEM="$CONFIG: $SETTINGS" SETTINGS=''
    return 0
  done
  SETTINGS_PROBLEM="$CONFIG can be read with Python 3.11 or newer alone, and there is none"
}

# The config file as what it is, TOML. `read` prints NAME=VALUE of each setting; `write` prints the file as it should be:
# NAME=VALUE holds afterwards, NAME= goes, and a line that says so already stays as somebody wrote it.
settings_file() { # PYTHON read | write NAME=VALUE…
  program=$1
  shift
  "$program" -I - "$CONFIG" "$@" <<'PYTHON'
import json, os, sys, tomllib

TEXTS = {"state", "listen", "tls_cert", "tls_key", "tls_listen"}
NEW = "# Settings of the appliance; 'appliance --help' and the README list them. Restart after a change.\n"


def show(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def print_settings(path):
    for name, value in load(read(path)).items():
        if isinstance(value, str) and "\n" in value:
            sys.exit(f"{name} has more than one line")
        if isinstance(value, str | int):
            print(f"{name}={show(value)}")


def print_changed(path, *wanted):
    text = read(path) if os.path.exists(path) else NEW
    for name, _, value in (one.partition("=") for one in wanted):
        have = load(text)
        if (show(have[name]) if name in have else "") == value:
            continue
        line = f"{name} = {json.dumps(value, ensure_ascii=False) if name in TEXTS else value}\n" if value else ""
        text = replaced(text, have, name, line) if name in have else added(text, name, line)
    print(text, end="")


def replaced(text, have, name, line):
    """The lines that set the name are those without which all the rest is what it was."""
    lines = text.splitlines(keepends=True)
    rest = {other: value for other, value in have.items() if other != name}
    for first, one in enumerate(lines):
        if one.lstrip().lstrip("\"'").startswith(name):
            for last in range(first + 1, len(lines) + 1):
                try:
                    if tomllib.loads("".join(lines[:first] + lines[last:])) == rest:
                        return "".join([*lines[:first], line, *lines[last:]])
                except tomllib.TOMLDecodeError:
                    continue
    sys.exit(f"{name} cannot be changed in the settings file; change it by hand")


def added(text, name, line):
    """At the end, but not into a table."""
    after = text + ("" if text.endswith("\n") or not text else "\n") + line
    return after if name in tomllib.loads(after) else line + text


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def load(text):
    return tomllib.loads(text.replace("\r\n", "\n"))


try:
    {"read": print_settings, "write": print_changed}[sys.argv[2]](sys.argv[1], *sys.argv[3:])
except (OSError, ValueError) as exc:
    sys.exit(getattr(exc, "strerror", None) or str(exc))
PYTHON
}

# --- pre-flight: everything that is missing, at once ----------------------------------------------------------------

problem() { # CODE, what is wrong, what to do
  PROBLEMS="$PROBLEMS  $1  $2
        -> $3
"
}

preflight() {
  PROBLEMS=
  check_platform
  check_distribution
  [ -z "$OFFLINE" ] || check_bundle
  check_python
  [ -z "$OFFLINE" ] || [ -z "$PYTHON" ] || [ -z "$WANTED_PYTHON" ] || check_bundle_content
  check_existing
  check_libgomp
  check_directories
  if [ -n "$SETTINGS_PROBLEM" ]; then
    # Without a Python this is said already, and what the file says of ports is not known.
    [ -z "$PYTHON" ] || problem E015 "$SETTINGS_PROBLEM" "mend it, or move it away: defaults and flags then hold"
  elif [ -n "$PYTHON" ]; then
    choose_guest_ports
    check_ports
  fi
  [ -z "$PYTHON" ] || [ -z "$GIVEN_CERT" ] || check_certificate
  if [ -n "$PROBLEMS" ]; then
    {
      echo "This host is not ready; nothing was changed:"
      printf '%s' "$PROBLEMS"
    } >&2
    exit "$EXIT_PREFLIGHT"
  fi
}

check_platform() {
  [ "$(uname -s)" = Linux ] || problem E001 "this is $(uname -s)" "use a Linux host"
  case $(uname -m) in
    x86_64 | aarch64) ;;
    *) problem E001 "there are no packages for $(uname -m)" "use an x86_64 or aarch64 host" ;;
  esac
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/.* //') || glibc=
  case $glibc in
    '') problem E001 "this host has no glibc" "use a distribution with glibc 2.28 or newer (not Alpine)" ;;
    2.[0-9] | 2.1[0-9] | 2.2[0-7]) problem E001 "glibc $glibc is too old" "use a distribution with glibc 2.28 or newer" ;;
  esac
  memory_mb=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
  [ "$memory_mb" -ge 1500 ] || problem E002 "this host has $memory_mb MB of memory" "give it 2 GB or more"
}

read_distribution() {
  id=$(sed -n 's/^ID=//p' /etc/os-release 2>/dev/null | tr -d '"')
  release=$(sed -n 's/^VERSION_ID=//p' /etc/os-release 2>/dev/null | tr -d '"')
}

check_distribution() {
  read_distribution
  case $id in
    debian) oldest=12 ;;
    ubuntu) oldest=22.04 ;;
    rhel | rocky | almalinux | centos | ol) oldest=9 ;;
    *) oldest= ;;
  esac
  if [ -n "$oldest" ] && [ -n "$release" ] && is_below "$release" "$oldest"; then
    problem E010 "this is $id $release" "use $id $oldest or newer"
  fi
  [ "$MODE" = system ] || return 0
  systemd=$(systemctl --version | awk 'NR == 1 { print $2 + 0 }')
  systemd=${systemd:-0}
  [ "$systemd" -ge 249 ] || problem E011 "systemd is $systemd" "use a host with systemd 249 or newer, or --local DIR"
}

is_below() { # VERSION VERSION: the first is older
  [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

check_existing() {
  [ -d "$BASE" ] && [ ! -d "$BASE/releases" ] && [ -n "$(ls -A "$BASE" 2>/dev/null)" ] || return 0
  # What an uninstallation left is welcome.
  for entry in "$BASE"/* "$BASE"/.[!.]*; do
    case ${entry##*/} in state | .installing | appliance.toml | install.log | cache | proxy.env | tls | .work-* | '*' | '.[!.]*') ;;
      *)
        problem E013 "$BASE is not empty and holds no appliance (${entry##*/})" "choose another directory with --local"
        return ;;
    esac
  done
}

check_python() {
  found='' named=${PYTHON:+" at $PYTHON"}
  if [ -n "$PYTHON" ]; then set -- "$PYTHON"; else set -- python3 python3.13 python3.12 python3.11 /usr/bin/python3; fi
  for candidate in "$@"; do
    path=$(command -v "$candidate" 2>/dev/null) || continue
    "$path" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || continue
    if [ -n "$WANTED_PYTHON" ] && [ "$(python_minor "$path")" != "$WANTED_PYTHON" ]; then continue; fi
    if [ "$MODE" = system ] && "$path" -c 'import sys; sys.exit(not sys.base_prefix.startswith(("/root", "/home")))'; then
      found="$path lies in a home directory, which the units cannot see"
      continue
    fi
    if ! "$path" -c 'import venv, ensurepip' 2>/dev/null; then
      found="$path has no venv module" without_venv=$(python_minor "$path")
      continue
    fi
    PYTHON=$path
    return
  done
  PYTHON=
  case $found in
    *'no venv module') problem E003 "$found" "install it: apt-get install python$without_venv-venv" ;;
    ?*) problem E003 "$found" "install the distribution's own: $(python_packages)" ;;
    *) problem E003 "there is no Python ${WANTED_PYTHON:-3.11, 3.12 or 3.13}$named" \
      "install one ($(python_packages)), or name it with --python" ;;
  esac
}

# What of this distribution brings a Python for us; the python3 of Ubuntu 22.04 and of RHEL 9 is older.
python_packages() {
  read_distribution
  python=python${WANTED_PYTHON:-3}
  case $id$release in ubuntu22.04 | rhel9* | rocky9* | almalinux9* | centos9* | ol9*) python=python${WANTED_PYTHON:-3.11} ;; esac
  case $id in
    debian | ubuntu) echo "apt-get install $python $python-venv" ;;
    rhel | rocky | almalinux | centos | ol) echo "dnf install $python" ;;
    *) echo "apt-get install $python $python-venv; dnf install python${WANTED_PYTHON:-3.11}" ;;
  esac
}

python_minor() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# LightGBM's package needs the system's OpenMP library, which minimal hosts do not have.
check_libgomp() {
  if [ -n "$PYTHON" ]; then
    "$PYTHON" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null && return
  else
    for library in /lib/*/libgomp.so.1 /usr/lib/*/libgomp.so.1 /usr/lib64/libgomp.so.1; do
      [ ! -e "$library" ] || return 0
    done
  fi
  problem E004 "libgomp.so.1 is missing, which LightGBM needs" "apt-get install libgomp1, or dnf install libgomp"
}

check_directories() {
  base_at=$(nearest "$BASE") state_at=$(nearest "$STATE") base_mb=3000 state_mb=500
  if [ "$(current_release)" != none ]; then # there is room for what is there already
    base_mb=1500 state_mb=250
    if [ -n "$PYTHON" ] && [ -z "$OFFLINE" ] && [ -f "$BASE/releases/$(release_name)/.complete" ]; then base_mb=0 state_mb=0; fi
  fi
  [ "$MODE" = local ] || check_state_for_units
  check_writable E005 "$BASE" "$base_at" || base_mb=0
  check_writable E006 "$STATE" "$state_at" || state_mb=0
  if [ "$base_mb" != 0 ] && [ "$state_mb" != 0 ] && [ "$(file_system "$base_at")" = "$(file_system "$state_at")" ]; then
    check_room E005 "$base_at" "$((base_mb + state_mb))" " ($base_mb for the program, $state_mb for the state)"
  else
    check_room E005 "$base_at" "$base_mb"
    check_room E006 "$state_at" "$state_mb"
  fi
}

# The directory itself, or what is there of the way to it.
nearest() {
  above=$1
  while [ ! -e "$above" ]; do above=$(dirname "$above"); done
  printf '%s\n' "$above"
}

# Its device; a subvolume has a number of its own and the room of the whole.
file_system() {
  device=$(df -P "$1" | awk 'NR == 2 { print $1 }')
  case $device in /*) printf '%s\n' "$device" ;; *) stat -c %d "$1" ;; esac
}

check_writable() { # CODE DIRECTORY WHAT-IS-THERE-OF-IT
  [ ! -d "$3" ] || [ ! -w "$3" ] || return 0
  problem "$1" "$2 cannot be written ($3)" "choose another directory, or make it writable for this user"
  return 1
}

# Written into units, where a blank ends a path and % begins something else; and where these units see what is there.
check_state_for_units() {
  way="choose another with --state"
  case $STATE in
    *[[:space:]%\"\'\\\|\&\;\$\`]*)
      problem E016 "$STATE has a character that does not go into units" "$way, without blanks, quotes and %|&;\$\\"
      return ;;
  esac
  # An operator's drop-in may let the units see what they have used so far.
  [ "$(setting state '' '')" != "$STATE" ] || return 0
  case $(readlink -m "$STATE")/ in
    /home/* | /root/* | /run/user/* | /tmp/* | /var/tmp/*)
      problem E016 "$STATE lies where units see nothing (home directories, temporary folders)" "$way, below /var/lib or /srv" ;;
  esac
}

check_room() { # CODE DIRECTORY MEGABYTES [WHAT-FOR]
  free_mb=$(df -Pm "$2" | awk 'NR == 2 { print $4 }')
  [ "$free_mb" -ge "$3" ] ||
    problem "$1" "$2 has $free_mb MB free" "free $3 MB there${4:-}, or choose another directory"
}

check_certificate() {
  said=$("$PYTHON" -c 'import ssl, sys; ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*sys.argv[1:])' \
    "$GIVEN_CERT" "$GIVEN_KEY" 2>&1) ||
    problem E014 "$GIVEN_CERT with $GIVEN_KEY: $(printf '%s\n' "$said" | tail -n 1)" "name a PEM certificate and its key, unencrypted"
}

# Nobody has to know the ports of MLflow and Prefect behind the login, so that they never stand in an installation's way:
# those that nobody chose are the next free ones behind the dashboard's.
choose_guest_ports() {
  [ -n "$UI_MLFLOW_PORT" ] || UI_MLFLOW_PORT=$(next_free "$LISTEN" "$UI_PORT")
  [ -n "$UI_PREFECT_PORT" ] || UI_PREFECT_PORT=$(next_free "$LISTEN" "$UI_PORT")
  [ -n "$TLS" ] || return 0
  [ -n "$TLS_UI_MLFLOW_PORT" ] || TLS_UI_MLFLOW_PORT=$(next_free "$TLS_LISTEN" "$TLS_UI_PORT")
  [ -n "$TLS_UI_PREFECT_PORT" ] || TLS_UI_PREFECT_PORT=$(next_free "$TLS_LISTEN" "$TLS_UI_PORT")
}

next_free() { # ADDRESS PORT: the first port above it that can be listened on and that is none of ours
  look_at_ports next "$MODE" "$@" "$API_PORT" "$ORCHESTRATOR_PORT" "$MLFLOW_PORT" "$TLS_API_PORT" "$TLS_UI_PORT" "$UI_MLFLOW_PORT" \
    "$UI_PREFECT_PORT" "$TLS_UI_MLFLOW_PORT" "$TLS_UI_PREFECT_PORT"
}

# A port may be ours already: then it is the running installation's, and nothing is wrong.
check_ports() {
  set -- "api-port $LISTEN $API_PORT" "ui-port $LISTEN $UI_PORT" "orchestrator-port 127.0.0.1 $ORCHESTRATOR_PORT" \
    "mlflow-port 127.0.0.1 $MLFLOW_PORT"
  [ -z "$TLS" ] || set -- "$@" "tls-api-port $TLS_LISTEN $TLS_API_PORT" "tls-ui-port $TLS_LISTEN $TLS_UI_PORT"
  for one in mlflow prefect; do
    plain=$UI_MLFLOW_PORT outer=$TLS_UI_MLFLOW_PORT
    [ "$one" = mlflow ] || plain=$UI_PREFECT_PORT outer=$TLS_UI_PREFECT_PORT
    [ "$plain" != 0 ] || continue
    set -- "$@" "ui-$one-port $LISTEN $plain"
    [ -z "$TLS" ] || [ "$outer" = 0 ] || set -- "$@" "tls-ui-$one-port $TLS_LISTEN $outer"
  done
  taken=$(look_at_ports check "$MODE" "$@")
  old_ifs=$IFS
  IFS='
'
  for line in $taken; do
    code=${line%%|*} rest=${line#*|}
    if [ "$code" != TAKEN ]; then
      IFS=$old_ifs
      problem "$code" "${rest%%|*}" "${rest#*|}"
    elif ! is_ours "${rest%%|*}" "${rest#*|}"; then
      IFS=$old_ifs
      problem E009 "port ${rest#*|} is taken" \
        "end what uses it (ss -ltnp), or choose another with --${rest%%|*} ($(environment_name "${rest%%|*}"))"
    fi
  done
  IFS=$old_ifs
}

look_at_ports() { # next system|local ADDRESS PORT OURS… | check system|local "NAME ADDRESS PORT"…
  SETTINGS=$SETTINGS "$PYTHON" - "$@" <<'PYTHON'
import ipaddress, os, re, socket, sys

BY_SYSTEMD = {"api-port", "mlflow-port"}  # opened by it, as root


def parts(one):
    name, _, rest = one.partition(" ")
    host, _, port = rest.rpartition(" ")
    return name, host, port


def is_number(port):
    """As the settings file takes it: no zero in front, no other script's digits."""
    return re.fullmatch("[1-9][0-9]{0,4}", port) is not None


def lowest_of_units():
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
            return int(file.read())
    except OSError:
        return 1024


def is_address(host):
    try:
        return not getattr(ipaddress.ip_address(host), "scope_id", None)
    except ValueError:
        return False


def listen(host, port):
    """For a moment; an OSError says why that cannot be."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)


def print_next(mode, host, above, *ours):
    can_be = is_number(above) and (mode == "local" or is_address(host))
    for port in range(int(above) + 1, min(int(above) + 200, 65536)) if can_be else ():
        try:
            listen(host, port)
        except (OSError, UnicodeError):
            continue
        if str(port) not in ours:
            return print(port)
    print(0)  # not served; what is wrong with the address or the port is said with the others


def print_problems(mode, *wanted):
    seen, names = {}, set()
    lowest = lowest_of_units() if mode == "system" else 0
    # Those that an installation has are its operator's: a drop-in of their own may let the unit open them.
    had = [line.partition("=")[2] for line in os.environ["SETTINGS"].splitlines() if "_port=" in line]
    for name, host, port in map(parts, wanted):
        if not is_number(port) or int(port) > 65535:
            print(f"E007|--{name} {port} is no port|give a number from 1 to 65535")
            continue
        if port in seen:
            print(f"E007|--{seen[port]} and --{name} are both {port}|give each its own port")
            continue
        seen[port] = name
        if int(port) < lowest and name not in BY_SYSTEMD and port not in had:
            print(f"E007|port {port} needs root, which its unit does not have|choose one from {lowest} on with --{name}")
            continue
        if host in names:  # said already
            continue
        if mode == "system" and not is_address(host):
            print(f"E008|--listen {host} is no address, and units take no names|give it in numbers, such as 127.0.0.1 or 0.0.0.0")
            names.add(host)
            continue
        try:
            listen(host, int(port))
        except (socket.gaierror, UnicodeError):
            print(f"E008|--listen {host} is no address|use 127.0.0.1 or 0.0.0.0")
            names.add(host)
        except PermissionError:
            print(f"E007|port {port} needs root|choose one from 1024 on with --{name}")
        except OSError as exc:
            if exc.errno == 99:
                print(f"E008|--listen {host} is not an address of this host|use 127.0.0.1 or 0.0.0.0")
                names.add(host)
            else:
                print(f"TAKEN|{name}|{port}")


{"next": print_next, "check": print_problems}[sys.argv[1]](*sys.argv[2:])
PYTHON
}

is_ours() { # NAME PORT: the running installation listens there
  [ "$(setting "$(printf '%s' "$1" | tr - _)" '' '')" = "$2" ] || return 1
  if [ -z "$RUNS" ]; then
    RUNS=no
    [ -x "$BASE/bin/appliance" ] && "$BASE/bin/appliance" status --json 2>/dev/null | grep -q '"pid": [0-9]' && RUNS=yes
  fi
  [ "$RUNS" = yes ]
}

environment_name() { printf 'APPLIANCE_%s' "$(printf '%s' "$1" | tr 'a-z-' 'A-Z_')"; }

# --- steps ----------------------------------------------------------------------------------------------------------

STEP=0
step() { # TEXT COMMAND…: one line on the screen, everything else in the log; the first failure ends the installation
  text=$1
  shift
  STEP=$((STEP + 1))
  if [ -n "$DRY_RUN" ]; then
    printf '  would: %s\n' "$text"
    return 0
  fi
  CHANGED=1
  open_log
  printf '[%s] %s ... ' "$STEP" "$text"
  printf '\n== %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$text" >>"$LOG"
  began=$(date +%s)
  # Not inside a condition: there `set -e` would be off, and a step would go on after its first failing command.
  set +e
  (
    set -e
    "$@"
  ) >>"$LOG" 2>&1 </dev/null 8>&-
  code=$?
  set -e
  if [ "$code" = 0 ]; then
    printf '%s s\n' "$(($(date +%s) - began))"
  else
    printf 'FAILED\n\n'
    {
      echo "install.sh: this step failed: $text"
      case $LOG in "${WORK:-/dev/null}"/*) echo "What it said last:" ;; *) echo "The end of the log $LOG:" ;; esac
      tail -n 15 "$LOG" | sed 's/^/  | /'
      advise
    } >&2
    [ -z "$STARTING" ] || go_back
    # The upgrade says itself whether the release before runs again (3) or neither does (4).
    [ -z "$UPGRADING" ] || [ "$code" != 4 ] || exit "$EXIT_UNHEALTHY"
    exit "$EXIT_FAILED"
  fi
}

advise() {
  # The upgrade says itself what it did, and the words below mean other things there.
  case $UPGRADING$code in
    13)
      echo "The release $BEFORE is in place as before, and its databases with it. Once what is said above is mended, run the"
      echo "same command again."
      return ;;
    14)
      echo "Neither release is well: see '$COMMAND doctor' and '$COMMAND logs'."
      return ;;
  esac
  if tail -n 40 "$LOG" | grep -qiE 'name resolution|timed out|connection (refused|reset)|network is unreachable|proxy|certificate'; then
    echo "The package index could not be reached: check the network, the proxy (https_proxy) and pip's own configuration."
  elif tail -n 40 "$LOG" | grep -qi 'no space left'; then
    echo "The disk is full: free 3 GB below $BASE and run the same command again."
  elif tail -n 40 "$LOG" | grep -qiE 'hash mismatch|do not match the hash'; then
    echo "A package differs from requirements.lock: what the index gave must not be used; check the index or mirror."
  else
    echo "Run the same command again once it is mended; what was done is not done twice."
  fi
}

# One installer at a time: another would take this one's half-made release away. Who holds it has number 8 open, which
# nobody that is started here keeps.
lock_base() {
  [ -z "$DRY_RUN" ] || return 0
  mkdir -p "$BASE"
  # Nobody else may hold it, or nothing could be installed.
  (umask 077 && : >>"$BASE/.installing")
  exec 8>>"$BASE/.installing"
  if ! flock -n 8; then
    echo "install.sh: another installer is at work below $BASE; run this again once that has ended" >&2
    exit "$EXIT_PREFLIGHT"
  fi
}

open_log() {
  [ -z "${LOG_OPEN:-}" ] || return 0
  mkdir -p "$(dirname "$LOG")"
  (umask 077 && : >"$LOG")
  LOG_OPEN=1
}

# --- bundles: one file that installs without a network ---------------------------------------------------------------

# In this order: install.sh, bundle.conf, SHA256SUMS, then source/ and wheels/.
make_bundle() {
  check_python
  [ -n "$PYTHON" ] || {
    printf '%s' "$PROBLEMS" >&2
    exit "$EXIT_PREFLIGHT"
  }
  [ -d "$(dirname "$MAKE_BUNDLE")" ] || refuse "there is no directory $(dirname "$MAKE_BUNDLE")"
  WORK=$(mktemp -d "$MAKE_BUNDLE.XXXXXX")
  LOG=$WORK/log
  step "Fetching the locked packages for $(python_minor "$PYTHON") on $(uname -m)" fetch_wheels
  step "Writing the bundle $MAKE_BUNDLE" write_bundle
  [ -z "$DRY_RUN" ] || return 0
  file=${MAKE_BUNDLE##*/}
  echo "$(du -m "$MAKE_BUNDLE" | cut -f 1) MB. On the other host: tar -xf $file install.sh && ./install.sh --offline $file"
}

# The other host has the same minor version of Python, and perhaps another patch: what only some patches need comes along.
fetch_wheels() {
  "$PYTHON" -m venv "$WORK/venv"
  for lock in $(locks) requirements.uv.lock; do
    sed "s/ ; python_full_version [<>=]* '3\.[0-9]*\.[0-9]*'//" "$SOURCE/$lock" >"$WORK/$lock"
    TMPDIR=$WORK "$WORK/venv/bin/python" -m pip download -q --disable-pip-version-check --no-input --no-deps \
      --require-hashes --only-binary :all: -d "$WORK/bundle/wheels" -r "$WORK/$lock"
  done
}

write_bundle() {
  mkdir -p "$WORK/bundle/source"
  (cd "$SOURCE" && { source_files; printf 'requirements.%s.lock\n' uv postgres; } | tar -cf - -T -) |
    tar -xf - -C "$WORK/bundle/source"
  cp "$SOURCE/install.sh" "$WORK/bundle/install.sh"
  printf 'python=%s\nmachine=%s\nversion=%s\nwith=%s\n' \
    "$(python_minor "$PYTHON")" "$(uname -m)" "$(version)" "${WITH:-none}" \
    >"$WORK/bundle/bundle.conf"
  cd "$WORK/bundle"
  find install.sh bundle.conf source wheels -type f | LC_ALL=C sort | xargs -d '\n' sha256sum >SHA256SUMS
  tar -cf "$WORK/whole" --owner=0 --group=0 install.sh bundle.conf SHA256SUMS source wheels
  mv "$WORK/whole" "$MAKE_BUNDLE"
}

check_bundle() {
  WANTED_PYTHON=
  if [ ! -r "$OFFLINE" ] || ! conf=$(tar --occurrence=1 -xOf "$OFFLINE" bundle.conf 2>/dev/null); then
    problem E012 "$OFFLINE is not there, or no bundle" "name a file that --make-bundle wrote"
    return
  fi
  machine=$(printf '%s\n' "$conf" | sed -n 's/^machine=//p')
  [ "$machine" = "$(uname -m)" ] ||
    problem E012 "the bundle is for $machine, this host is $(uname -m)" "make the bundle on a host like this one"
  WANTED_PYTHON=$(printf '%s\n' "$conf" | sed -n 's/^python=//p')
  bundled=$(printf '%s\n' "$conf" | sed -n 's/^with=//p')
  [ -n "$WITH" ] || WITH=$bundled
  [ "$WITH" != postgres ] || [ "$bundled" = postgres ] ||
    problem E012 "the bundle has no packages for Postgres sources" \
      "make it with --make-bundle FILE --with postgres, or install with --with none"
}

# Every byte against its checksum, nothing more and nothing less, before anything is unpacked.
check_bundle_content() {
  said=$("$PYTHON" - "$OFFLINE" <<'PYTHON' 2>&1
import hashlib, sys, tarfile

sums, seen = {}, set()
try:
    with tarfile.open(sys.argv[1], "r|") as bundle:
        pending = {}
        for member in bundle:
            if member.isdir():
                continue
            if not member.isreg() or member.name.startswith("/") or ".." in member.name.split("/"):
                sys.exit(f"it holds {member.name}")
            content, digest = bundle.extractfile(member), hashlib.sha256()
            if member.name == "SHA256SUMS":
                lines = content.read().decode().splitlines()
                sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
                continue
            while block := content.read(1 << 20):
                digest.update(block)
            pending[member.name] = digest.hexdigest()
    if wrong := sorted(name for name in sums.keys() | pending.keys() if sums.get(name) != pending.get(name)):
        sys.exit(f"{wrong[0]} is not what was bundled" + (f", nor are {len(wrong) - 1} more files" if wrong[1:] else ""))
except (tarfile.TarError, ValueError, OSError) as exc:
    sys.exit(f"it cannot be read: {exc}")
PYTHON
  ) || problem E012 "the bundle $OFFLINE is damaged: $said" "copy it again, or make it again"
}

open_bundle() {
  # Not in /tmp, which may be small: but where nothing may be changed.
  if [ -n "$DRY_RUN" ]; then WORK=$(mktemp -d); else WORK=$(mktemp -d "$BASE/.work-bundle.XXXXXX"); fi
  tar -xf "$OFFLINE" -C "$WORK" source
  SOURCE=$WORK/source
}

unpack_wheels() {
  mkdir -p "$RELEASE"
  tar -xf "$OFFLINE" -C "$RELEASE" wheels
}

# --- the release ----------------------------------------------------------------------------------------------------

version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$SOURCE/pyproject.toml" | head -n 1; }

source_files() {
  find appliance flows storage ui systemd pyproject.toml README.md LICENSE requirements.lock \
    -type f ! -name '*.pyc' ! -path '*/__pycache__/*' | LC_ALL=C sort
}

# The locks of what is installed: the appliance's, and those of what --with adds to it.
locks() {
  echo requirements.lock
  [ "$WITH" != postgres ] || echo requirements.postgres.lock
}

# What the lock, the source and the Python are decides whether there is anything new.
release_name() {
  hash=$({
    "$PYTHON" -VV
    (cd "$SOURCE" && { source_files; [ "$WITH" != postgres ] || echo requirements.postgres.lock; } |
      xargs -d '\n' sha256sum)
  } | sha256sum | cut -c 1-12)
  printf '%s-%s\n' "$(version)" "$hash"
}

current_release() { if [ -L "$BASE/current" ]; then basename "$(readlink "$BASE/current")"; else echo none; fi; }

install_release() {
  RELEASE=$BASE/releases/$NAME
  if [ ! -f "$RELEASE/.complete" ]; then
    BUILD=$BASE/.work-$$
    step "Making the Python environment ($("$PYTHON" -V))" make_environment
    [ -z "$OFFLINE" ] || step "Unpacking the packages of the bundle" unpack_wheels
    count=$(cd "$SOURCE" && locks | xargs cat | grep -c '==')
    [ "$WITH" != postgres ] || count="$count, Postgres sources among them"
    step "Installing the locked packages ($count, hashes checked)" install_packages
    step "Building and installing the appliance $(version)" install_appliance
    step "Looking whether it starts" "$RELEASE/venv/bin/python" -P -m appliance.cli.main --version
    [ -n "$DRY_RUN" ] || { touch "$RELEASE/.complete" && rm -rf "$BUILD" "$RELEASE/wheels"; }
  fi
}

make_environment() {
  rm -rf "$RELEASE" "$BUILD"
  mkdir -p "$RELEASE" "$BUILD/tmp"
  TMPDIR=$BUILD/tmp "$PYTHON" -m venv "$RELEASE/venv"
}

pip_of_release() { "$RELEASE/venv/bin/python" -m pip "$@"; }

# uv installs the lock in seconds where pip takes minutes; where uv cannot (a mirror it does not understand), pip does.
install_packages() {
  export TMPDIR="$BUILD/tmp" PIP_CACHE_DIR="${PIP_CACHE_DIR:-$BASE/cache/pip}" UV_CACHE_DIR="${UV_CACHE_DIR:-$BASE/cache/uv}"
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
  from=
  if [ -n "$OFFLINE" ]; then
    # Without a cache: what is unpacked is linked into its place, and gone with the wheels.
    export UV_CACHE_DIR="$BUILD/uv-cache" UV_LINK_MODE=hardlink
    from="--no-index --find-links wheels"
    cd "$RELEASE"
  else
    index=$(pip_of_release config get global.index-url 2>/dev/null) || index=${PIP_INDEX_URL:-}
    export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
  fi
  set --
  for lock in $(locks); do set -- "$@" -r "$SOURCE/$lock"; done
  # shellcheck disable=SC2086  # options
  if pip_of_release install -q $from --require-hashes --target "$BUILD/uv" -r "$SOURCE/requirements.uv.lock" &&
    "$BUILD/uv/bin/uv" pip install $from --python "$RELEASE/venv/bin/python" \
      --compile-bytecode --require-hashes "$@"; then
    return
  fi
  echo "uv could not install the packages; trying pip"
  # shellcheck disable=SC2086  # options
  pip_of_release install -q $from --require-hashes "$@"
}

# From a copy, so that nothing is written into the checkout, with the locked hatchling, so that nothing is downloaded.
install_appliance() {
  export TMPDIR="$BUILD/tmp"
  mkdir -p "$BUILD/source"
  (cd "$SOURCE" && source_files | tar -cf - -T -) | tar -xf - -C "$BUILD/source"
  "$RELEASE/venv/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps --no-index \
    --no-cache-dir "$BUILD/source"
  cp -R "$BUILD/source/systemd" "$RELEASE/systemd"
  cp "$BUILD/source/requirements.lock" "$BUILD/source/LICENSE" "$RELEASE/"
  defaults_text >"$RELEASE/defaults.toml"
  echo "${WITH:-none}" >"$RELEASE/with"
}

# What this release proposes for this host; the settings file, the environment and flags come before it.
defaults_text() {
  echo "# Made by the installer for this host. Change the settings file instead, which comes before this."
  memory_mb=$(awk '/^MemTotal:/ { print int($2 / 4096) }' /proc/meminfo) # a quarter
  [ "$memory_mb" -ge 256 ] || memory_mb=256
  [ "$memory_mb" -le 4096 ] || memory_mb=4096
  printf 'duckdb_memory = "%sMB"\n' "$memory_mb"
}

switch_release() {
  ln -sfn "releases/$NAME" "$BASE/.current-new"
  mv -T "$BASE/.current-new" "$BASE/current"
}

first_release() {
  : >"$BASE/.preparing" # until the state is
  switch_release
}

# The last release is kept, so that one can go back; older ones are removed.
remove_old_releases() {
  for old in "$BASE"/releases/*; do
    case $(basename "$old") in "$NAME" | "$BEFORE") ;; *) rm -rf "$old" ;; esac
  done
}

# --- configuration --------------------------------------------------------------------------------------------------

config_text() {
  set -- "state=$STATE" "listen=$LISTEN" "api_port=$API_PORT" "ui_port=$UI_PORT" "orchestrator_port=$ORCHESTRATOR_PORT" \
    "mlflow_port=$MLFLOW_PORT" "ui_mlflow_port=$UI_MLFLOW_PORT" "ui_prefect_port=$UI_PREFECT_PORT"
  if [ -n "$TLS" ]; then
    set -- "$@" "tls_cert=$TLS_FOLDER/cert.pem" "tls_key=$TLS_KEY" "tls_listen=$TLS_LISTEN" \
      "tls_api_port=$TLS_API_PORT" "tls_ui_port=$TLS_UI_PORT" \
      "tls_ui_mlflow_port=$TLS_UI_MLFLOW_PORT" "tls_ui_prefect_port=$TLS_UI_PREFECT_PORT"
  else
    set -- "$@" tls_cert= tls_key= tls_listen= tls_api_port= tls_ui_port= tls_ui_mlflow_port= tls_ui_prefect_port=
  fi
  settings_file "$PYTHON" write "$@" "systemd=$([ "$MODE" = system ] && echo true || echo false)"
}

write_config() {
  mkdir -p "$(dirname "$CONFIG")"
  config_text >"$CONFIG.new"
  chmod 640 "$CONFIG.new"
  [ "$MODE" = local ] || chown root:appliance "$CONFIG.new"
  [ -z "$TLS" ] || keep_plain_listen
  mv "$CONFIG.new" "$CONFIG"
  [ -n "$TLS" ] || keep_plain_listen
}

# The proxies of whoever installs, for what is fetched later (datasets by address); never for our own processes.
proxy_text() {
  for name in http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY; do
    eval "value=\${$name:-}"
    case $value in '' | *\'*) ;; *) printf "%s='%s'\n" "$name" "$value" ;; esac
  done
  around=${no_proxy:-${NO_PROXY:-}}
  around="${around:+$around,}localhost,127.0.0.1,::1,$LISTEN"
  printf "no_proxy='%s'\nNO_PROXY='%s'\n" "$around" "$around"
}

has_proxy() { [ -n "${http_proxy:-}${https_proxy:-}${all_proxy:-}${HTTP_PROXY:-}${HTTPS_PROXY:-}${ALL_PROXY:-}" ]; }

proxy_changed() { has_proxy && [ "$(proxy_text)" != "$(cat "$PROXY_FILE" 2>/dev/null)" ]; }

write_proxy() {
  mkdir -p "$(dirname "$PROXY_FILE")"
  (umask 077 && proxy_text >"$PROXY_FILE")
}

# A certificate of our own is made once, and anew when the host has another address or it ends soon; one that was given is
# copied, so that its owner alone needs to read it.
tls_changed() {
  case $TLS in
    self) [ ! -e "$TLS_FOLDER/cert.pem" ] || { [ -x "$RELEASE/venv/bin/python" ] && ! own_certificate --check; } ;;
    given) ! { cmp -s "$GIVEN_CERT" "$TLS_FOLDER/cert.pem" && cmp -s "$GIVEN_KEY" "$TLS_FOLDER/key.pem"; } ;;
    *) return 1 ;;
  esac
}

own_certificate() { "$RELEASE/venv/bin/python" -P -m appliance.processes.certificate "$TLS_FOLDER" "$TLS_LISTEN" "$@"; }

write_certificate() {
  mkdir -p "$TLS_FOLDER"
  if [ "$TLS" = self ]; then
    own_certificate
  else
    cp "$GIVEN_CERT" "$TLS_FOLDER/cert.new" && mv "$TLS_FOLDER/cert.new" "$TLS_FOLDER/cert.pem"
    (umask 077 && cp "$GIVEN_KEY" "$TLS_FOLDER/key.new") && mv "$TLS_FOLDER/key.new" "$TLS_FOLDER/key.pem"
  fi
  chmod 640 "$TLS_FOLDER/key.pem"
  [ "$MODE" = local ] || close_certificate
}

close_certificate() {
  chown -R root:appliance "$TLS_FOLDER"
  chmod 750 "$TLS_FOLDER"
  chown root:root "$TLS_FOLDER/key.pem"
  chmod 600 "$TLS_FOLDER/key.pem"
}

# As an earlier release left it: it had the key read by the group.
key_open() { [ -n "$TLS" ] && [ "$(stat -c '%U:%G %a' "$TLS_FOLDER/key.pem" 2>/dev/null)" != 'root:root 600' ]; }

config_changed() { [ "$(config_text)" != "$(cat "$CONFIG" 2>/dev/null)" ]; }

quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# The command resolves `current` once, so that a process never mixes the modules of two releases, and waits while an
# upgrade changes it. What may write waits until the upgrade is final: it would be lost when that goes back.
command_text() {
  cat <<COMMAND
#!/bin/sh
base=$(quoted "$BASE") config=$(quoted "$CONFIG")
export APPLIANCE_CONFIG="\${APPLIANCE_CONFIG:-\$config}"
case "\${1:-}" in
  serve | up | down | status | logs | doctor | '' | -h | --help | --version) lock=\$base/.switch ;;
  *)
    lock=\$base/.changing
    if [ -r "\$lock" ] && ! flock -n -s 9 9<"\$lock"; then
      echo "appliance: the release is being changed; this waits until that is over" >&2
    fi ;;
esac
if [ -r "\$lock" ]; then flock -s 9 9<"\$lock" || true; fi
COMMAND
  if [ "$MODE" = local ]; then
    cat <<COMMAND
proxies=$(quoted "$PROXY_FILE") journal=$(quoted "$STATE/upgrade/journal.json")
if [ -r "\$proxies" ]; then set -a && . "\$proxies" && set +a; fi
if [ "\${1:-}" = up ] && [ -e "\$journal" ]; then
  "\$base/current/venv/bin/python" -P -m appliance.processes.upgrade recover --base "\$base" || exit 3
fi
COMMAND
  fi
  cat <<COMMAND
release=\$(readlink -f "\$base/current")
export APPLIANCE_DEFAULTS="\$release/defaults.toml"
exec "\$release/venv/bin/python" -P -m appliance.cli.main "\$@"
COMMAND
}

write_command() {
  mkdir -p "$BASE/bin"
  command_text >"$BASE/bin/.appliance-new"
  chmod 755 "$BASE/bin/.appliance-new"
  mv "$BASE/bin/.appliance-new" "$BASE/bin/appliance"
  [ "$MODE" = local ] || ln -sfn "$BASE/bin/appliance" /usr/local/bin/appliance
}

command_changed() { [ "$(command_text)" != "$(cat "$BASE/bin/appliance" 2>/dev/null)" ]; }

# --- systemd --------------------------------------------------------------------------------------------------------

UNITS=/etc/systemd/system

# Every drop-in that the settings may ask for, below UNITS.
drop_ins() {
  cat <<'FILES'
appliance-.service.d/20-state.conf
appliance-api.service.d/30-listen.conf
appliance-api.service.d/30-proc.conf
appliance-api.socket.d/20-listen.conf
appliance-api.socket.d/30-listen.conf
appliance-backup.service.d/20-passphrase.conf
appliance-backup.service.d/30-proc.conf
appliance-mlflow.service.d/20-memory.conf
appliance-mlflow.socket.d/20-listen.conf
appliance-orchestrator.service.d/20-memory.conf
appliance-recover.service.d/30-proc.conf
appliance-recover.service.d/40-state.conf
appliance-reopen.service.d/30-proc.conf
appliance-tls.service.d/20-key.conf
appliance-tls.service.d/30-proc.conf
appliance-ui.service.d/20-memory.conf
appliance-ui.service.d/20-passphrase.conf
appliance-ui.service.d/30-listen.conf
appliance.target.d/30-tls.conf
FILES
}

# Every file below UNITS that an installation makes: these, and the units of each release that is here.
made_files() {
  drop_ins
  for folder in "$SOURCE/systemd/units" "$BASE"/releases/*/systemd/units; do
    [ ! -d "$folder" ] || (cd "$folder" && find . -type f | sed 's|^\./||')
  done
}

# The others there: somebody wrote them.
own_files() {
  made=$(made_files)
  (cd "$UNITS" && find . ! -type d -path './appliance[-.]*' | sed 's|^\./||' | LC_ALL=C sort) | grep -vxF "$made" || true
}

passphrase_gone() { [ ! -e /etc/appliance/backup-passphrase ] && [ -e "$UNITS/appliance-backup.service.d/20-passphrase.conf" ]; }

# That of the dashboard goes with the other units, since it is started again then.
end_sealing() {
  rm -f "$UNITS/appliance-backup.service.d/20-passphrase.conf"
  systemctl daemon-reload
}

# Every file that belongs in /etc, made in $1 as it should be there.
stage_system_files() {
  units=$1$UNITS
  mkdir -p "$units/appliance-api.socket.d" "$units/appliance-mlflow.socket.d" "$units/appliance-recover.service.d" \
    "$1/etc/sysusers.d" "$1/etc/tmpfiles.d"
  cp -R "$SOURCE"/systemd/units/. "$units/"
  sed "s|@STATE@|$STATE|g" "$SOURCE/systemd/sysusers.conf" >"$1/etc/sysusers.d/appliance.conf"
  sed "s|@STATE@|$STATE|g" "$SOURCE/systemd/tmpfiles.conf" >"$1/etc/tmpfiles.d/appliance.conf"
  address=$LISTEN
  case $LISTEN in *:*) address="[$LISTEN]" ;; esac
  printf '[Socket]\nListenStream=\nListenStream=%s:%s\n' "$address" "$API_PORT" >"$units/appliance-api.socket.d/20-listen.conf"
  printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:%s\n' "$MLFLOW_PORT" \
    >"$units/appliance-mlflow.socket.d/20-listen.conf"
  printf '[Unit]\nConditionPathExists=\nConditionPathExists=%s/upgrade/journal.json\n' "$STATE" \
    >"$units/appliance-recover.service.d/40-state.conf"
  # The dashboard's has room for a table that DuckDB reads with a quarter (defaults_text). The floors are for small hosts:
  # two to four times what each was seen to need.
  limit_memory ui 40 1024 8192
  limit_memory orchestrator 15 768 2048
  limit_memory mlflow 20 1024 4096
  if [ -n "$TLS" ]; then
    mkdir -p "$units/appliance.target.d"
    printf '[Unit]\nWants=appliance-tls.service\n' >"$units/appliance.target.d/30-tls.conf"
    mkdir -p "$units/appliance-tls.service.d"
    printf '[Service]\nLoadCredential=%s:%s\n' "$TLS_CREDENTIAL" "$TLS_FOLDER/key.pem" \
      >"$units/appliance-tls.service.d/20-key.conf"
  fi
  if [ -e /etc/appliance/backup-passphrase ]; then
    # Whoever makes backups. The line for where the file is gone is empty: then a backup is refused, and both start.
    # A unit reads it when it starts: with another passphrase the first line differs, and the dashboard is started again.
    for unit in backup ui; do
      mkdir -p "$units/appliance-$unit.service.d"
      printf '# The passphrase of %s\n[Service]\nLoadCredential=%s\nSetCredential=%s\n' \
        "$(stat -c '%y' /etc/appliance/backup-passphrase)" \
        backup-passphrase:/etc/appliance/backup-passphrase 'backup-passphrase:\n' \
        >"$units/appliance-$unit.service.d/20-passphrase.conf"
    done
  fi
  # Before 250 ProcSubset=pid cannot be had with ProtectKernelTunables= and ProtectKernelLogs=: no process would start.
  if [ "$systemd" -lt 250 ]; then
    for unit in api backup recover reopen tls; do
      mkdir -p "$units/appliance-$unit.service.d"
      printf '[Service]\nProcSubset=all\n' >"$units/appliance-$unit.service.d/30-proc.conf"
    done
  fi
  # The units write nowhere but in the state and, on another disk, where the settings say that backups lie.
  backups=$(setting backup_dir '' '' | sed 's/[\\"]/\\&/g; s/%/%%/g')
  if [ "$STATE" != /var/lib/appliance ] || [ -n "$backups" ]; then
    mkdir -p "$units/appliance-.service.d"
    {
      printf '[Service]\nReadWritePaths=%s\n' "$STATE"
      [ -z "$backups" ] || printf 'ReadWritePaths="-%s"\n' "$backups"
    } >"$units/appliance-.service.d/20-state.conf"
  fi
  case $LISTEN in
    127.* | ::1 | localhost) ;;
    *)
      for unit in api.socket api.service; do
        kind=Service
        [ "$unit" = api.socket ] && kind=Socket
        mkdir -p "$units/appliance-$unit.d"
        printf '[%s]\nIPAddressAllow=any\n' "$kind" >"$units/appliance-$unit.d/30-listen.conf"
      done ;;
  esac
}

# A share of the host's memory, in steps of 64 MB: a kernel that takes some for itself changes no unit.
limit_memory() { # UNIT PERCENT LEAST-MB MOST-MB
  mkdir -p "$units/appliance-$1.service.d"
  awk -v percent="$2" -v least="$3" -v most="$4" '/^MemTotal:/ {
    mb = int(int($2 / 1024) * percent / 6400) * 64
    if (mb < least) mb = least
    if (mb > most) mb = most
    printf "# %s %% of the memory of this host, from %s to %s MB\n[Service]\nMemoryMax=%dM\n", percent, least, most, mb
  }' /proc/meminfo >"$units/appliance-$1.service.d/20-memory.conf"
}

# 0 when a file whose name matches differs, is missing, or is asked for no more.
system_files_changed() { # PATTERN
  staged=$(mktemp -d)
  stage_system_files "$staged"
  # To the end of the list: where SIGPIPE is ignored, whoever writes it would complain.
  changed=$({ (cd "$staged" && find . -type f) && drop_ins | sed "s|^|.$UNITS/|"; } |
    while IFS= read -r file; do
      # shellcheck disable=SC2254  # a pattern
      case $file in $1) same_file "$staged/$file" "/$file" || echo "$file" ;; esac
    done)
  rm -rf "$staged"
  [ -n "$changed" ]
}

same_file() { if [ -e "$1" ]; then cmp -s "$1" "$2"; else [ ! -e "$2" ]; fi; }

install_system_files() {
  staged=$(mktemp -d)
  stage_system_files "$staged"
  # First: once the files lie in their places, another run sees nothing to do.
  systemd-sysusers "$staged/etc/sysusers.d/appliance.conf"
  drop_ins | while IFS= read -r file; do [ -e "$staged$UNITS/$file" ] || rm -f "$UNITS/$file"; done
  cp -R "$staged/etc/." /etc/
  rm -rf "$staged"
  systemctl daemon-reload
}

# systemd knows the files of before: whoever wrote others did not come to say so.
units_stale() { systemctl show --value -p NeedDaemonReload 'appliance*' | grep -q '^yes$'; }

make_state() {
  systemd-tmpfiles --create /etc/tmpfiles.d/appliance.conf
  make_local_state
}

make_local_state() {
  "$BASE/bin/appliance" migrate
  rm -f "$BASE/.preparing"
}

# Also what a first installation that was interrupted left to do.
state_missing() { [ -n "$FRESH" ] || [ -e "$BASE/.preparing" ] || [ ! -e "$STATE/appliance.db" ]; }

# One service after the other; the sockets stay open, so that no request is refused meanwhile.
restart_units() {
  systemctl enable appliance.target
  if systemctl is-active -q appliance.target && [ -z "$SOCKETS_CHANGED" ]; then
    for unit in orchestrator runner ui api; do systemctl restart "appliance-$unit.service"; done
    systemctl try-restart appliance-mlflow.service
    systemctl start --no-block appliance-reopen.service # which began with the target, before all its files were there
    if [ -n "$TLS" ]; then systemctl restart appliance-tls.service; else systemctl stop appliance-tls.service; fi
  else
    systemctl stop appliance.target appliance-api.socket appliance-mlflow.socket
    systemctl start appliance.target
  fi
}

# --- start and closing words ----------------------------------------------------------------------------------------

is_up() { "$BASE/bin/appliance" status >/dev/null 2>&1; }

start_local() { "$BASE/bin/appliance" up --detach; }

restart_local() {
  "$BASE/bin/appliance" down
  "$BASE/bin/appliance" up --detach
}

# After a start that failed: to the release that ran before, when there is one; else what is installed stays.
go_back() {
  if [ "$BEFORE" = none ] || [ "$BEFORE" = "$NAME" ] || [ ! -d "$BASE/releases/$BEFORE" ]; then
    echo "See '$COMMAND doctor' and '$COMMAND logs'." >&2
    exit "$EXIT_UNHEALTHY"
  fi
  echo "Going back to the release $BEFORE." >&2
  NAME=$BEFORE
  switch_release
  if [ "$MODE" = system ]; then restart_units; else restart_local; fi >>"$LOG" 2>&1 || true
}

start() {
  [ -z "$NEW" ] || [ "$BEFORE" = none ] || say_running_jobs
  if [ -n "$DRY_RUN" ]; then
    step "Starting the appliance, waiting until it is well"
    return
  fi
  STARTING=1
  if [ "$MODE" = system ]; then
    if [ -n "$NEW" ]; then
      step "Starting the units" restart_units
    elif [ -n "$RENEWED" ]; then # a unit is handed its key when it starts
      step "Starting TLS with the new certificate" systemctl try-restart appliance-tls.service
    fi
    # An installation that was interrupted before this.
    systemctl is-enabled -q appliance.target || step "Having the units start with the host" systemctl enable appliance.target
    is_up || step "Waiting until everything is well" wait_until_well
  elif [ -n "$NEW" ] && [ "$BEFORE" != none ]; then
    step "Restarting the processes with the new release" restart_local
  elif ! is_up; then
    step "Starting the processes, waiting until they are well" start_local
  fi
  STARTING=
}

wait_until_well() { "$BASE/bin/appliance" up --detach; }

closing_words() {
  where=$LISTEN
  case $LISTEN in 0.0.0.0 | ::) where=127.0.0.1 ;; *:*) where="[$LISTEN]" ;; esac
  echo
  if [ -n "$TLS" ]; then
    name=$TLS_LISTEN
    case $name in 0.0.0.0 | ::) name=$(uname -n) ;; esac
    echo "Dashboard   https://$name:$TLS_UI_PORT"
    echo "API         https://$name:$TLS_API_PORT"
    echo "On this host, without TLS:"
  fi
  echo "Dashboard   http://$where:$UI_PORT"
  echo "API         http://$where:$API_PORT   (documentation: /docs)"
  if [ -f "$STATE/admin-password" ]; then
    echo "Login       admin; the one-time password lies in $STATE/admin-password"
  fi
  echo "Command     $COMMAND --help"
  case $LISTEN in
    127.* | ::1 | localhost)
      tunnel=
      for port in "$UI_PORT" "$UI_MLFLOW_PORT" "$UI_PREFECT_PORT" "$API_PORT"; do
        [ "$port" = 0 ] || tunnel="$tunnel -L $port:127.0.0.1:$port"
      done
      echo "From elsewhere: ssh$tunnel $(id -un)@$(uname -n)"
      echo "                or run the installer again with --listen ADDRESS, on an open network with --tls self" ;;
    *) echo "From elsewhere: http://$(uname -n):$UI_PORT" ;;
  esac
}

# --- the whole ------------------------------------------------------------------------------------------------------

install_local() {
  if command_changed; then step "Writing the command $BASE/bin/appliance" write_command; fi
  if proxy_changed; then NEW=1 && step "Writing the proxies to $PROXY_FILE" write_proxy; fi
  change_release
  if tls_changed; then step "Writing the certificate to $TLS_FOLDER" write_certificate; fi
  if config_changed; then NEW=1 && step "Writing the settings $CONFIG" write_config; fi
  if state_missing; then NEW=1 && step "Preparing the state in $STATE" make_local_state; fi
}

install_system() {
  SOCKETS_CHANGED='' RENEWED=''
  # An upgrade makes a backup, which would be refused.
  if passphrase_gone; then step "Having backups in clear, since the passphrase was removed" end_sealing; fi
  if command_changed; then step "Writing the command appliance" write_command; fi
  change_release
  if system_files_changed '*' || units_stale; then
    NEW=1
    if system_files_changed '*socket*'; then SOCKETS_CHANGED=1; fi
    step "Installing the units and the user appliance" install_system_files
  fi
  if tls_changed; then RENEWED=1 && step "Writing the certificate to $TLS_FOLDER" write_certificate; fi
  if config_changed; then NEW=1 && step "Writing the settings $CONFIG" write_config; fi
  if key_open && [ -z "$RENEWED" ]; then step "Closing the certificate's key to all but root" close_certificate; fi
  if proxy_changed; then NEW=1 && step "Writing the proxies to $PROXY_FILE" write_proxy; fi
  if state_missing; then NEW=1 && step "Preparing the state in $STATE" make_state; fi
}

# The first release is switched to; a later one proves itself first, or the one before it goes on.
change_release() {
  [ "$NAME" != "$BEFORE" ] || return 0
  if [ "$BEFORE" = none ]; then
    NEW=1 FRESH=1
    step "Switching to the release $NAME" first_release
  else
    UPGRADING=1
    say_running_jobs
    step "Upgrading from $BEFORE: backup, check, migration, switch, start, check" upgrade_release
    UPGRADING=
    step "Removing older releases" remove_old_releases
    BEFORE=$NAME
  fi
}

# What ends with the runner is told before. Nothing runs where nobody answers.
say_running_jobs() {
  [ -z "$TOLD" ] || return 0
  TOLD=$DRY_RUN # which ends none
  running=$("$BASE/bin/appliance" jobs list --running 2>/dev/null) || return 0
  [ -z "$running" ] ||
    printf 'These jobs run; to change the release ends them. "%s jobs again ID" starts one again, a feed comes by itself:\n%s\n' \
      "$COMMAND" "$running"
}

upgrade_release() {
  # Whoever ends the installer ends the upgrade too, which then goes back: that is waited for.
  trap : HUP INT TERM
  : >>"$BASE/.switch"
  : >>"$BASE/.changing"
  APPLIANCE_CONFIG=$CONFIG APPLIANCE_DEFAULTS=$RELEASE/defaults.toml \
    "$RELEASE/venv/bin/python" -P -m appliance.processes.upgrade to "$NAME" --base "$BASE" ${NO_BACKUP:+--no-backup}
}

# An upgrade that was interrupted: until it is taken back, a boot would do so, also weeks later.
interrupted_upgrade() {
  journal=$(setting state '' "$STATE")/upgrade/journal.json
  [ -e "$journal" ] && [ -x "$BASE/current/venv/bin/python" ]
}

take_back() {
  step "Taking back a change of the release that was interrupted" recover_release
  BEFORE=$(current_release)
  # What a dry run does not do, it says.
  [ -z "$DRY_RUN" ] || BEFORE=$(sed -n 's/.*"before":"\([^"]*\)".*/\1/p' "$journal")
}

recover_release() {
  trap : HUP INT TERM
  ran=$(grep '"ran":true' "$journal") || true
  APPLIANCE_CONFIG=$CONFIG "$BASE/current/venv/bin/python" -P -m appliance.processes.upgrade recover --base "$BASE"
  if [ -e "$journal" ]; then
    echo "another upgrade is at work; wait for it"
    return 1
  fi
  # It starts as a boot does, whatever ran before.
  [ -n "$ran" ] || [ "$MODE" = local ] || systemctl stop appliance.target 'appliance-*.service' 'appliance-*.socket' || true
  # The upgrade that may come next looks at how this one does.
  [ -z "$ran" ] || [ -n "$UNINSTALL" ] || "$BASE/bin/appliance" up --detach || true
}

# --- instead of installing --------------------------------------------------------------------------------------------

require_settings() { [ -z "$SETTINGS_PROBLEM" ] || refuse "$SETTINGS_PROBLEM"; }

# This file alone, as it came out of a bundle or through a pipe, has nothing to install.
require_source() {
  [ -e "$SOURCE/requirements.lock" ] ||
    refuse "$SOURCE holds no appliance: run the install.sh of a checkout, or name a bundle with --offline"
}

require_installed() {
  [ "$(current_release)" != none ] || refuse "nothing is installed below $BASE"
}

roll_back() {
  require_installed
  lock_base
  say_running_jobs
  if [ -n "$DRY_RUN" ]; then
    step "Going back to the release before $(current_release)"
    return
  fi
  code=0
  APPLIANCE_CONFIG=$CONFIG "$BASE/current/venv/bin/python" -P -m appliance.processes.upgrade back --base "$BASE" \
    ${YES:+--yes} 8>&- || code=$?
  [ "$code" != 0 ] || echo "The release $(current_release) runs."
  exit "$code"
}

uninstall() {
  require_installed_or_left
  lock_base
  # Nothing shall stay; what a step said is shown where it fails.
  LOG=/dev/null LOG_OPEN=1
  if [ -z "$DRY_RUN" ] && WORK=$(mktemp -d); then LOG=$WORK/log; fi
  # No other release could.
  if [ -z "$PURGE" ] && interrupted_upgrade; then take_back; fi
  own=
  if [ "$MODE" = system ]; then
    own=$(own_files | sed "s|^|  $UNITS/|")
    step "Stopping the units" stop_units
    step "Removing the units" remove_units
    [ -z "$own" ] || [ -z "$PURGE" ] || step "Removing what else lies with the units, which the installer did not make:
$own" remove_own_files
  elif [ -x "$BASE/bin/appliance" ]; then
    step "Stopping the processes" "$BASE/bin/appliance" down
  fi
  step "Removing the releases and the command" remove_program
  [ -z "$DRY_RUN" ] || [ -n "$PURGE" ] || echo "  would keep: the state and its backups in $STATE, the settings in $CONFIG"
  if [ -n "$PURGE" ]; then
    step "Removing the state $STATE, the settings, the logs and the user" remove_data
  else
    [ -n "$DRY_RUN" ] ||
      echo "Kept: the state and its backups in $STATE, the settings in $CONFIG. --purge --yes removes them too."
    [ -z "$own" ] || printf 'Kept, since the installer did not make it; --purge --yes removes it too:\n%s\n' "$own"
  fi
  [ -z "$DRY_RUN" ] || echo "Nothing was changed."
}

require_installed_or_left() {
  [ "$(current_release)" = none ] && [ ! -e "$CONFIG" ] && refuse "nothing is installed below $BASE"
  # What is removed for good must be an appliance's.
  [ -z "$PURGE" ] || [ ! -e "$STATE" ] || [ -e "$STATE/appliance.db" ] || [ -e "$STATE/secret" ] ||
    [ -z "$(find "$STATE" -mindepth 1 -maxdepth 1 ! -name lost+found)" ] ||
    refuse "$STATE holds no appliance's state; remove it by hand"
  return 0
}

stop_units() {
  systemctl disable appliance.target || true
  systemctl stop 'appliance-*.service' 'appliance-*.socket' 'appliance-*.timer' appliance.target || true
  systemctl stop 'appliance-*.slice' appliance.slice || true
}

remove_units() {
  made_files | while IFS= read -r file; do rm -f "$UNITS/$file"; done
  remove_empty_folders
  rm -f /etc/sysusers.d/appliance.conf /etc/tmpfiles.d/appliance.conf \
    /var/lib/systemd/timers/stamp-appliance-backup.timer
  systemctl daemon-reload
  systemctl reset-failed 'appliance-*' || true
}

remove_own_files() {
  own_files | while IFS= read -r file; do rm -f "$UNITS/$file"; done
  remove_empty_folders
  systemctl daemon-reload
}

remove_empty_folders() { find "$UNITS" -depth -type d -path "$UNITS/appliance[-.]*" -empty -delete; }

remove_program() {
  if [ "$(readlink /usr/local/bin/appliance)" = "$BASE/bin/appliance" ]; then rm -f /usr/local/bin/appliance; fi
  rm -rf "$BASE/releases" "$BASE/current" "$BASE/.current-new" "${BASE:?}/bin" "$BASE/cache" "$BASE/.switch" \
    "$BASE/.changing" "$BASE/.installing" "$BASE/.upgrade" "$BASE/.preparing" "$BASE"/.work-*
  if [ "$MODE" = system ]; then rmdir "$BASE" 2>/dev/null || true; fi
}

# A file system of its own stays, empty: no user can remove where it is mounted.
remove_state() {
  if mountpoint -q "$STATE"; then
    find "$STATE" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +
  else
    rm -rf "$STATE"
  fi
}

remove_data() {
  remove_state
  if [ "$MODE" = system ]; then
    rm -rf /etc/appliance /var/log/appliance-install.log
    userdel appliance || true
    groupdel appliance 2>/dev/null || true
  else
    rm -rf "$CONFIG" "$PROXY_FILE" "$TLS_FOLDER" "$BASE/install.log"
    rmdir "$BASE" 2>/dev/null || true
  fi
}

clean_up() { [ -z "$WORK$BUILD" ] || rm -rf ${WORK:+"$WORK"} ${BUILD:+"$BUILD"}; }

main() {
  parse_arguments "$@"
  choose_layout
  CHANGED='' NEW='' FRESH='' WORK='' BUILD='' STARTING='' UPGRADING='' TOLD='' RUNS='' WANTED_PYTHON='' PROBLEMS=''
  trap clean_up EXIT
  trap 'exit 130' HUP INT TERM
  umask 022
  if [ -n "$MAKE_BUNDLE" ]; then
    require_source
    MODE=local
    make_bundle
    exit 0
  fi
  [ -z "$ROLLBACK$UNINSTALL" ] || require_settings
  [ -z "$ROLLBACK" ] || roll_back
  if [ -n "$UNINSTALL" ]; then
    uninstall
    exit 0
  fi
  [ -z "$UPGRADE" ] || require_installed
  [ -n "$OFFLINE" ] || require_source
  preflight
  [ -z "$why" ] || echo "Without systemd or root ($why): installing below $BASE and nowhere else."
  lock_base
  [ -z "$OFFLINE" ] || open_bundle
  NAME=$(release_name)
  BEFORE=$(current_release)
  if interrupted_upgrade; then take_back; fi
  install_release
  if [ "$MODE" = system ]; then install_system; else install_local; fi
  if [ -z "$NO_START" ]; then start; fi
  if [ -n "$DRY_RUN" ]; then
    echo "Nothing was changed."
    exit 0
  fi
  [ -n "$CHANGED" ] || echo "The appliance $NAME is installed; nothing was changed."
  if [ -n "$DEMO" ] && [ -n "$NO_START" ]; then
    echo "The demo needs what was not started: load it later with 'appliance demo'."
  elif [ -n "$DEMO" ]; then
    echo
    "$BASE/bin/appliance" demo 8>&- || exit "$EXIT_FAILED"
  fi
  closing_words
  exit 0 # not a line more: a pull may have changed this file meanwhile, and the shell reads it as it goes
}

main "$@"
