# shellcheck shell=bash
# Set-up shared by ./run and ./test: Debian packages, the dependencies of deps/lock.json, builds of
# Gantry. Sourced by bash, under set -euo pipefail, with the checkout as working folder. Each step
# looks first and does nothing when nothing is missing, so that a warm call takes a moment and needs
# no network.

say() { printf 'gantry set-up: %s\n' "$*"; }
die() {
  printf 'gantry set-up: %s\n' "$*" >&2
  exit 1
}

# packages_of GROUP...: the package names in those groups of deps/debian.txt.
packages_of() {
  awk -v wanted=" $* " '
    /^\[/ { group = substr($0, 2, length($0) - 2); next }
    NF && !/^#/ && index(wanted, " " group " ") { print $1 }' deps/debian.txt
}

missing_of() {
  comm -23 <(packages_of "$@" | sort) <(
    # shellcheck disable=SC2016 # the ${} are dpkg-query's
    packages_of "$@" | xargs dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null |
      sed -n 's/^installed //p' | sort)
}

# Of what apt-get prints, passes on a line for every tenth of the packages set up. (The loops here
# and below are not awk, because Debian's awk reads a pipe in large blocks.)
apt_progress() {
  local line total=0 count=0 shown=0
  while IFS= read -r line; do
    if [[ $line =~ ([0-9]+)\ newly\ installed ]]; then
      total=${BASH_REMATCH[1]}
    elif [[ $line == "Setting up "* ]] && [ "$total" -gt 0 ]; then
      count=$((count + 1))
      if [ $((count * 10 / total)) -gt "$shown" ]; then
        shown=$((count * 10 / total))
        say "Debian packages $((count * 100 / total)) % ($count/$total)"
      fi
    fi
  done
}

# setup_packages GROUP...: installs the Debian packages of those groups that are missing.
setup_packages() {
  local missing as_root=() log
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "this is not a Debian system, so its packages cannot be installed" \
      "(use Debian 12 or a relative of it; deps/debian.txt lists what is needed)"
  fi
  mapfile -t missing < <(missing_of "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
      die "Debian packages are missing: ${missing[*]}" \
        "(as root: apt-get install --no-install-recommends ${missing[*]})"
    as_root=(sudo)
    [ -t 0 ] || as_root=(sudo -n) # nobody there to type a password
  fi
  say "installing Debian packages (${#missing[@]}): ${missing[*]}"
  log=$(mktemp)
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2)
  if ! "${apt[@]}" update >"$log" 2>&1 ||
    ! "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null 2>&1 |
      tee -a "$log" | apt_progress; then
    local cause
    # apt-get calls a failed update a warning, so the error that follows is not the cause.
    cause=$(grep -qE 'Could not (resolve|connect)|Temporary failure|unreachable' "$log" &&
      echo "the package sources cannot be reached" ||
      grep -E '^(E:|Err:|sudo:)' "$log" | tail -n 1 || true)
    rm -f "$log"
    die "cannot install the Debian packages ${missing[*]}: ${cause:-apt-get failed}" \
      "(connect to the network once, or install them yourself, then run this again)"
  fi
  rm -f "$log"
  mapfile -t missing < <(missing_of "$@")
  [ "${#missing[@]}" -eq 0 ] ||
    die "apt-get ran, yet these Debian packages are still missing: ${missing[*]}" \
      "(apt-get install ${missing[*]} shows why)"
}

# Shows compiler messages as they are, and ninja's counter on one line of a terminal, else once
# every tenth.
ninja_progress() {
  local line terminal='' open_line='' shown=0 percent
  if [ -t 1 ]; then terminal=yes; fi
  while IFS= read -r line; do
    if [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\  ]]; then
      percent=$((BASH_REMATCH[1] * 100 / BASH_REMATCH[2]))
      if [ -n "$terminal" ]; then
        printf '\rgantry build: %d %% (%d/%d)\033[K' "$percent" "${BASH_REMATCH[@]:1:2}"
        open_line=yes
      elif [ $((percent / 10)) -gt "$shown" ]; then
        shown=$((percent / 10))
        printf 'gantry build: %d %% (%d/%d)\n' "$percent" "${BASH_REMATCH[@]:1:2}"
      fi
    elif [[ $line != "ninja: Entering directory"* && $line != "ninja: no work to do." ]]; then
      printf '%s%s\n' "${open_line:+$'\n'}" "$line"
      open_line=
    fi
  done
  printf '%s' "${open_line:+$'\n'}"
}

# The most compilers at once that memory allows: 1 GiB each.
build_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
  if [ "$memory" -lt "$cores" ]; then cores=$memory; fi
  printf '%d' "$((cores < 1 ? 1 : cores))"
}

# build_folder PRESET: where that preset builds, as in CMakePresets.json.
build_folder() { if [ "$1" = release ]; then echo build; else echo "build-$1"; fi; }

# setup_configure PRESET: configures that preset's folder unless it is; ninja keeps it up to date.
setup_configure() {
  local folder log
  folder=$(build_folder "$1")
  [ ! -e "$folder/build.ninja" ] || return 0
  log=$(mktemp)
  cmake --preset "$1" >"$log" 2>&1 || {
    cat "$log" >&2
    rm -f "$log"
    die "CMake could not configure $folder, its messages are above" \
      "(if a package is missing: ./run --setup installs it)"
  }
  rm -f "$log"
}

# setup_build PRESET TARGET...: configures if needed, then builds. One build at a time per checkout.
setup_build() {
  local preset=$1 folder
  shift
  folder=$(build_folder "$preset")
  mkdir -p .cache
  # The subshell keeps the lock from leaking into programs that outlive the build.
  (
    flock -n 9 || { say "waiting for another build to finish" && flock 9; }
    setup_configure "$preset" || exit 1
    NINJA_STATUS='[%f/%t] ' ninja -C "$folder" -j "$(build_jobs)" "$@" 9>&- | ninja_progress ||
      die "Gantry did not build in $folder, the messages are above" \
        "(after a change of compiler or packages: rm -rf $folder, then again)"
  ) 9>.cache/build.lock || exit 1
}
