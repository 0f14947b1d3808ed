#!/bin/sh
# Installs the appliance, or brings an installation to this checkout; a second run with nothing new changes nothing.
# ./install.sh --help says how; systemd/README.md says what lies where afterwards.
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
  --python PROGRAM          the Python to use, 3.11 or newer                     (APPLIANCE_PYTHON)
  --demo                    then run the bike-sharing demo                       (APPLIANCE_DEMO=1)
  --no-start                install only                                         (APPLIANCE_NO_START=1)
  --dry-run                 check the host and say what would be done            (APPLIANCE_DRY_RUN=1)

Exit codes: 0 done, or nothing to do; 1 usage; 2 this host is not ready (everything that is missing is listed);
3 a step failed (what was installed before goes on); 4 installed, but not healthy after the start.
HELP
}

# --- arguments and settings ---------------------------------------------------------------------------------------

parse_arguments() {
  LOCAL=${APPLIANCE_LOCAL:-} PYTHON=${APPLIANCE_PYTHON:-}
  DEMO=${APPLIANCE_DEMO:-} NO_START=${APPLIANCE_NO_START:-} DRY_RUN=${APPLIANCE_DRY_RUN:-}
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
      -h | --help)
        usage
        exit 0 ;;
      --local | --python | --state | --listen | --api-port | --ui-port | --orchestrator-port | --mlflow-port)
        [ $# -ge 2 ] || refuse "$1 needs a value"
        case $1 in
          --local) LOCAL=$2 ;;
          --python) PYTHON=$2 ;;
          --state) APPLIANCE_STATE=$2 ;;
          --listen) APPLIANCE_LISTEN=$2 ;;
          --api-port) APPLIANCE_API_PORT=$2 ;;
          --ui-port) APPLIANCE_UI_PORT=$2 ;;
          --orchestrator-port) APPLIANCE_ORCHESTRATOR_PORT=$2 ;;
          --mlflow-port) APPLIANCE_MLFLOW_PORT=$2 ;;
        esac
        shift ;;
      *) refuse "there is no option $1" ;;
    esac
    shift
  done
}

refuse() {
  echo "install.sh: $1; ./install.sh --help lists the options" >&2
  exit "$EXIT_USAGE"
}

absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s/%s\n' "$(pwd)" "${1#./}" ;; esac; }

choose_layout() {
  SOURCE=$(cd "$(dirname "$0")" && pwd -P)
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
  STATE=$(absolute "$(setting state "${APPLIANCE_STATE:-}" "$default_state")")
  LISTEN=$(setting listen "${APPLIANCE_LISTEN:-}" 127.0.0.1)
  API_PORT=$(setting api_port "${APPLIANCE_API_PORT:-}" 8000)
  UI_PORT=$(setting ui_port "${APPLIANCE_UI_PORT:-}" 8080)
  ORCHESTRATOR_PORT=$(setting orchestrator_port "${APPLIANCE_ORCHESTRATOR_PORT:-}" 4200)
  MLFLOW_PORT=$(setting mlflow_port "${APPLIANCE_MLFLOW_PORT:-}" 5000)
  COMMAND=$BASE/bin/appliance
  [ "$MODE" = local ] || COMMAND=appliance
  # What pip, uv and the appliance read is said here alone: flags win over the file that an earlier run wrote.
  unset APPLIANCE_STATE APPLIANCE_LISTEN APPLIANCE_API_PORT APPLIANCE_UI_PORT APPLIANCE_ORCHESTRATOR_PORT \
    APPLIANCE_MLFLOW_PORT APPLIANCE_CONFIG
}

# setting NAME GIVEN DEFAULT: what was given now, else what the config file of an earlier run says, else the default.
setting() {
  if [ -n "$2" ]; then
    printf '%s\n' "$2"
  elif [ -r "$CONFIG" ] && line=$(grep "^$1 *=" "$CONFIG"); then
    printf '%s\n' "$line" | head -n 1 | sed 's/^[^=]*= *//; s/^"\(.*\)"$/\1/'
  else
    printf '%s\n' "$3"
  fi
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
  check_python
  check_libgomp
  check_directory E005 "$BASE" 3000
  check_directory E006 "$STATE" 500
  [ -z "$PYTHON" ] || check_ports
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

check_python() {
  found=
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3}; do
    path=$(command -v "$candidate" 2>/dev/null) || continue
    "$path" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || continue
    if [ "$MODE" = system ] && "$path" -c 'import sys; sys.exit(not sys.base_prefix.startswith(("/root", "/home")))'; then
      found="$path lies in a home directory, which the units cannot see"
      continue
    fi
    if ! "$path" -c 'import venv, ensurepip' 2>/dev/null; then
      found="$path has no venv module"
      continue
    fi
    PYTHON=$path
    return
  done
  PYTHON=
  case $found in
    *venv*) problem E003 "$found" "install it: apt-get install python3-venv" ;;
    ?*) problem E003 "$found" "install the distribution's own: apt-get install python3 python3-venv" ;;
    *) problem E003 "there is no Python 3.11, 3.12 or 3.13" \
      "install one (apt-get install python3 python3-venv; dnf install python3.11), or name it with --python" ;;
  esac
}

# LightGBM's package needs the system's OpenMP library, which minimal hosts do not have.
check_libgomp() {
  if [ -n "$PYTHON" ]; then
    "$PYTHON" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null && return
  else
    ls /lib/*/libgomp.so.1 /usr/lib/*/libgomp.so.1 /usr/lib64/libgomp.so.1 >/dev/null 2>&1 && return
  fi
  problem E004 "libgomp.so.1 is missing, which LightGBM needs" "apt-get install libgomp1, or dnf install libgomp"
}

check_directory() { # CODE DIRECTORY MEGABYTES
  existing=$2
  while [ ! -e "$existing" ]; do existing=$(dirname "$existing"); done
  if [ ! -d "$existing" ] || [ ! -w "$existing" ]; then
    problem "$1" "$2 cannot be written ($existing)" "choose another directory, or make it writable for this user"
    return
  fi
  [ "$(current_release)" = none ] || return 0 # there is room for what is there already
  free_mb=$(df -Pm "$existing" | awk 'NR == 2 { print $4 }')
  [ "$free_mb" -ge "$3" ] || problem "$1" "$existing has $free_mb MB free" "free $3 MB there, or choose another directory"
}

# A port may be ours already: then it is the running installation's, and nothing is wrong.
check_ports() {
  taken=$("$PYTHON" - "$LISTEN" "$API_PORT" "$UI_PORT" "$ORCHESTRATOR_PORT" "$MLFLOW_PORT" <<'PYTHON'
import socket, sys

listen, *ports = sys.argv[1:]
names = ("api-port", "ui-port", "orchestrator-port", "mlflow-port")
hosts = (listen, listen, "127.0.0.1", "127.0.0.1")
seen = {}
for name, host, port in zip(names, hosts, ports):
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        print(f"E007|--{name} {port} is no port|give a number from 1 to 65535")
        continue
    if port in seen:
        print(f"E007|--{seen[port]} and --{name} are both {port}|give each its own port")
        continue
    seen[port] = name
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
            probe.listen(1)
    except socket.gaierror:
        print(f"E008|--listen {host} is no address|use 127.0.0.1 or 0.0.0.0")
    except PermissionError:
        print(f"E007|port {port} needs root|choose one from 1024 on with --{name}")
    except OSError as exc:
        if exc.errno == 99:
            print(f"E008|--listen {host} is not an address of this host|use 127.0.0.1 or 0.0.0.0")
        else:
            print(f"TAKEN|{name}|{port}")
PYTHON
  )
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
  ) >>"$LOG" 2>&1 </dev/null
  code=$?
  set -e
  if [ "$code" = 0 ]; then
    printf '%s s\n' "$(($(date +%s) - began))"
  else
    printf 'FAILED\n\n'
    {
      echo "install.sh: this step failed: $text"
      echo "The end of the log $LOG:"
      tail -n 15 "$LOG" | sed 's/^/  | /'
      advise
    } >&2
    [ -z "$WORK" ] || rm -rf "$WORK"
    [ -z "$STARTING" ] || go_back
    exit "$EXIT_FAILED"
  fi
}

advise() {
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

open_log() {
  [ -z "${LOG_OPEN:-}" ] || return 0
  mkdir -p "$(dirname "$LOG")"
  (umask 077 && : >"$LOG")
  LOG_OPEN=1
}

# --- the release ----------------------------------------------------------------------------------------------------

version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$SOURCE/pyproject.toml" | head -n 1; }

source_files() {
  find appliance flows storage ui systemd pyproject.toml README.md LICENSE requirements.lock \
    -type f ! -name '*.pyc' ! -path '*/__pycache__/*' | LC_ALL=C sort
}

# What the lock, the source and the Python are decides whether there is anything new.
release_name() {
  hash=$({
    "$PYTHON" -VV
    (cd "$SOURCE" && source_files | xargs -d '\n' sha256sum)
  } | sha256sum | cut -c 1-12)
  printf '%s-%s\n' "$(version)" "$hash"
}

current_release() { if [ -L "$BASE/current" ]; then basename "$(readlink "$BASE/current")"; else echo none; fi; }

install_release() {
  RELEASE=$BASE/releases/$NAME
  if [ ! -f "$RELEASE/.complete" ]; then
    WORK=$BASE/.work-$$
    step "Making the Python environment ($("$PYTHON" -V))" make_environment
    step "Installing the locked packages ($(grep -c '==' "$SOURCE/requirements.lock"), hashes checked)" install_packages
    step "Building and installing the appliance $(version)" install_appliance
    step "Looking whether it starts" "$RELEASE/venv/bin/python" -P -m appliance.cli.main --version
    [ -n "$DRY_RUN" ] || { touch "$RELEASE/.complete" && rm -rf "$WORK"; }
  fi
}

make_environment() {
  rm -rf "$RELEASE" "$WORK"
  mkdir -p "$RELEASE" "$WORK/tmp"
  "$PYTHON" -m venv "$RELEASE/venv"
}

# uv installs the lock in seconds where pip takes minutes; where uv cannot (a mirror it does not understand), pip does.
install_packages() {
  export TMPDIR="$WORK/tmp" PIP_CACHE_DIR="${PIP_CACHE_DIR:-$BASE/cache/pip}" UV_CACHE_DIR="${UV_CACHE_DIR:-$BASE/cache/uv}"
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
  pip="$RELEASE/venv/bin/python -m pip"
  index=$($pip config get global.index-url 2>/dev/null) || index=${PIP_INDEX_URL:-}
  if $pip install -q --require-hashes --target "$WORK/uv" -r "$SOURCE/requirements.uv.lock" &&
    UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index} "$WORK/uv/bin/uv" pip install --python "$RELEASE/venv/bin/python" \
      --compile-bytecode --require-hashes -r "$SOURCE/requirements.lock"; then
    return
  fi
  echo "uv could not install the packages; trying pip"
  $pip install -q --require-hashes -r "$SOURCE/requirements.lock"
}

# From a copy, so that nothing is written into the checkout, with the locked hatchling, so that nothing is downloaded.
install_appliance() {
  export TMPDIR="$WORK/tmp"
  mkdir -p "$WORK/source"
  (cd "$SOURCE" && source_files | tar -cf - -T -) | tar -xf - -C "$WORK/source"
  "$RELEASE/venv/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps --no-index \
    --no-cache-dir "$WORK/source"
  cp -R "$WORK/source/systemd" "$RELEASE/systemd"
  cp "$WORK/source/requirements.lock" "$WORK/source/LICENSE" "$RELEASE/"
}

switch_release() {
  ln -sfn "releases/$NAME" "$BASE/.current-new"
  mv -T "$BASE/.current-new" "$BASE/current"
}

# The last release is kept, so that one can go back; older ones are removed.
remove_old_releases() {
  for old in "$BASE"/releases/*; do
    case $(basename "$old") in "$NAME" | "$BEFORE") ;; *) rm -rf "$old" ;; esac
  done
}

# --- configuration --------------------------------------------------------------------------------------------------

config_text() {
  if [ -r "$CONFIG" ]; then
    grep -vE '^(state|listen|api_port|ui_port|orchestrator_port|mlflow_port|systemd) *=' "$CONFIG" || true
  else
    echo "# Settings of the appliance; 'appliance --help' and the README list them. Restart after a change."
  fi
  printf 'state = "%s"\nlisten = "%s"\n' "$STATE" "$LISTEN"
  printf 'api_port = %s\nui_port = %s\n' "$API_PORT" "$UI_PORT"
  printf 'orchestrator_port = %s\nmlflow_port = %s\n' "$ORCHESTRATOR_PORT" "$MLFLOW_PORT"
  printf 'systemd = %s\n' "$([ "$MODE" = system ] && echo true || echo false)"
}

write_config() {
  mkdir -p "$(dirname "$CONFIG")"
  config_text >"$CONFIG.new"
  chmod 640 "$CONFIG.new"
  [ "$MODE" = local ] || chown root:appliance "$CONFIG.new"
  mv "$CONFIG.new" "$CONFIG"
}

config_changed() { [ "$(config_text)" != "$(cat "$CONFIG" 2>/dev/null)" ]; }

# The command resolves `current` once, so that a process never mixes the modules of two releases.
command_text() {
  cat <<COMMAND
#!/bin/sh
base='$BASE'
export APPLIANCE_CONFIG="\${APPLIANCE_CONFIG:-$CONFIG}"
exec "\$(readlink -f "\$base/current")/venv/bin/python" -P -m appliance.cli.main "\$@"
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

# Every file that belongs in /etc, made in $1 as it should be there.
stage_system_files() {
  units=$1$UNITS
  mkdir -p "$units/appliance-api.socket.d" "$units/appliance-mlflow.socket.d" "$1/etc/sysusers.d" "$1/etc/tmpfiles.d"
  cp -R "$SOURCE"/systemd/units/. "$units/"
  sed "s|@STATE@|$STATE|g" "$SOURCE/systemd/sysusers.conf" >"$1/etc/sysusers.d/appliance.conf"
  sed "s|@STATE@|$STATE|g" "$SOURCE/systemd/tmpfiles.conf" >"$1/etc/tmpfiles.d/appliance.conf"
  address=$LISTEN
  case $LISTEN in *:*) address="[$LISTEN]" ;; esac
  printf '[Socket]\nListenStream=\nListenStream=%s:%s\n' "$address" "$API_PORT" >"$units/appliance-api.socket.d/20-listen.conf"
  printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:%s\n' "$MLFLOW_PORT" \
    >"$units/appliance-mlflow.socket.d/20-listen.conf"
  if [ "$STATE" != /var/lib/appliance ]; then
    mkdir -p "$units/appliance-.service.d"
    printf '[Service]\nReadWritePaths=%s\n' "$STATE" >"$units/appliance-.service.d/20-state.conf"
  fi
  case $LISTEN in
    127.* | ::1 | localhost) ;;
    *)
      for unit in api.socket api.service ui.service; do
        kind=Service
        [ "$unit" = api.socket ] && kind=Socket
        mkdir -p "$units/appliance-$unit.d"
        printf '[%s]\nIPAddressAllow=any\n' "$kind" >"$units/appliance-$unit.d/30-listen.conf"
      done ;;
  esac
}

system_files_changed() {
  staged=$(mktemp -d)
  stage_system_files "$staged"
  changed=1
  (cd "$staged" && find . -type f) | while IFS= read -r file; do cmp -s "$staged/$file" "/$file" || exit 9; done || changed=0
  rm -rf "$staged"
  return "$changed"
}

install_system_files() {
  staged=$(mktemp -d)
  stage_system_files "$staged"
  rm -rf "$UNITS/appliance-.service.d/20-state.conf" "$UNITS"/appliance-*.d/30-listen.conf
  cp -R "$staged/etc/." /etc/
  rm -rf "$staged"
  systemd-sysusers /etc/sysusers.d/appliance.conf
  systemctl daemon-reload
}

make_state() {
  systemd-tmpfiles --create /etc/tmpfiles.d/appliance.conf
  "$BASE/bin/appliance" migrate
}

# One service after the other; the sockets stay open, so that no request is refused meanwhile.
restart_units() {
  systemctl enable appliance.target
  if systemctl is-active -q appliance.target && [ -z "$SOCKETS_CHANGED" ]; then
    for unit in orchestrator runner ui api; do systemctl restart "appliance-$unit.service"; done
    systemctl try-restart appliance-mlflow.service
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
  STARTING=1
  if [ "$MODE" = system ]; then
    if [ -n "$NEW" ]; then step "Starting the units" restart_units; fi
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
  echo "Dashboard   http://$where:$UI_PORT"
  echo "API         http://$where:$API_PORT   (documentation: /docs)"
  if [ -f "$STATE/admin-password" ]; then
    echo "Login       admin; the one-time password lies in $STATE/admin-password"
  fi
  echo "Command     $COMMAND --help"
  case $LISTEN in
    127.* | ::1 | localhost)
      echo "From elsewhere: ssh -L $UI_PORT:127.0.0.1:$UI_PORT -L $API_PORT:127.0.0.1:$API_PORT $(id -un)@$(uname -n)"
      echo "                or run the installer again with --listen 0.0.0.0 (put TLS in front of it on an open network)" ;;
    *) echo "From elsewhere: http://$(uname -n):$UI_PORT" ;;
  esac
}

# --- the whole ------------------------------------------------------------------------------------------------------

install_local() {
  if command_changed; then step "Writing the command $BASE/bin/appliance" write_command; fi
  if config_changed; then NEW=1 && step "Writing the settings $CONFIG" write_config; fi
  if [ "$NAME" != "$BEFORE" ]; then
    NEW=1
    step "Switching to the release $NAME" switch_release
    step "Preparing the state in $STATE" "$BASE/bin/appliance" migrate
    step "Removing older releases" remove_old_releases
  fi
}

install_system() {
  SOCKETS_CHANGED=
  if system_files_changed; then
    NEW=1 SOCKETS_CHANGED=1
    step "Installing the units and the user appliance" install_system_files
  fi
  if config_changed; then NEW=1 && step "Writing the settings $CONFIG" write_config; fi
  if command_changed; then step "Writing the command appliance" write_command; fi
  if [ "$NAME" != "$BEFORE" ]; then
    NEW=1
    step "Switching to the release $NAME" switch_release
    step "Preparing the state in $STATE" make_state
    step "Removing older releases" remove_old_releases
  fi
}

main() {
  parse_arguments "$@"
  choose_layout
  CHANGED='' NEW='' WORK='' STARTING='' RUNS=''
  preflight
  [ -z "$why" ] || echo "Without systemd or root ($why): installing below $BASE and nowhere else."
  umask 022
  NAME=$(release_name)
  BEFORE=$(current_release)
  [ "$MODE" = local ] || mkdir -p "$BASE"
  install_release
  if [ "$MODE" = system ]; then install_system; else install_local; fi
  if [ -n "$DRY_RUN" ]; then
    echo "Nothing was changed."
    exit 0
  fi
  if [ -z "$NO_START" ]; then start; fi
  [ -n "$CHANGED" ] || echo "The appliance $NAME is installed; nothing was changed."
  if [ -n "$DEMO" ] && [ -z "$NO_START" ]; then
    echo
    "$BASE/bin/appliance" demo || exit "$EXIT_FAILED"
  fi
  closing_words
}

main "$@"
