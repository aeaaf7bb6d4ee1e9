# What the scripts beside this file share. Sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '==> %s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# in_private_namespaces COMMAND…: becomes the command, in network and mount namespaces of its own with an empty /run/netns and
# /run/nsm-agent. Nothing it does to the network reaches the machine, and all of it ends with the command. What agents keep
# beside the kernel stays there as well: two that ran at once would take each other's sockets. Needs root, or a kernel that
# lets users make namespaces.
in_private_namespaces() {
    local flags=(--net --mount --propagation private)
    if [ "$(id -u)" != 0 ]; then
        flags+=(--user --map-root-user)
        unshare "${flags[@]}" true 2>/dev/null || die "needs root: the kernel does not let users make namespaces here"
    fi
    # shellcheck disable=SC2016
    exec unshare "${flags[@]}" bash -euc '
        mkdir -p /run/netns /run/nsm-agent 2>/dev/null || { mount -t tmpfs tmpfs /run; mkdir /run/netns /run/nsm-agent; }
        mount -t tmpfs -o mode=755 tmpfs /run/netns
        mount -t tmpfs -o mode=755 tmpfs /run/nsm-agent
        ip link set lo up
        exec "$@"' - "$@"
}

# install_missing COMMAND-OR-PKGCONFIG=PACKAGE…: makes sure that each is there.
# `ip=iproute2` asks for a command, `lib:libmnl=libmnl-dev` for a library that pkg-config knows, `python:venv=python3-venv`
# for a module of Python.
install_missing() {
    local need packages=()
    for need in "$@"; do
        local what=${need%%=*} package=${need#*=}
        case $what in
        python:*) python3 -c "import ${what#python:}" 2>/dev/null || packages+=("$package") ;;
        lib:*) pkg-config --exists "${what#lib:}" 2>/dev/null || packages+=("$package") ;;
        *) command -v "$what" >/dev/null || packages+=("$package") ;;
        esac
    done
    if [ ${#packages[@]} = 0 ]; then return; fi
    command -v apt-get >/dev/null ||
        die "missing here: ${packages[*]} (Debian's names). Install them with this system's package manager."
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "missing: as root, run  apt-get install ${packages[*]}"
        sudo=(sudo)
    fi
    say "installing ${packages[*]}"
    "${sudo[@]}" apt-get update -q=2
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -q=2 -y --no-install-recommends "${packages[@]}" \
        </dev/null >/dev/null
}

# What a build needs. The Swift toolchain is too big to bring along unasked.
install_build_needs() {
    install_missing pkg-config=pkg-config cc=gcc c++=g++ git=git \
        lib:libnl-route-3.0="libnl-route-3-dev" lib:libnl-3.0="libnl-3-dev" \
        lib:libmnl=libmnl-dev lib:yaml-0.1=libyaml-dev
    command -v swift >/dev/null ||
        die "no Swift compiler: install Swift 6.1 or newer (https://www.swift.org/install/linux) and put it on PATH"
}

# The commit of this folder, with `-modified` where files differ from it; nothing, where it is no repository.
source_commit() {
    local commit
    commit=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null) || return 0
    if [ -n "$(git -C "$root" status --porcelain 2>/dev/null)" ]; then commit+=-modified; fi
    printf '%s\n' "$commit"
}

# The version that the programs of this folder have.
source_version() { sed -n 's/.*static let text = "\(.*\)"/\1/p' "$root/Sources/Agent/Core/Version.swift"; }

# The date of what is made of this folder, in seconds: SOURCE_DATE_EPOCH, else that of the commit.
source_epoch() { printf '%s\n' "${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || printf 0)}"; }

# swift_build FLAG…: `swift build`, one at a time for this package folder. The programs know the commit.
swift_build() { (cd "$root" && NSM_AGENT_COMMIT=${NSM_AGENT_COMMIT-$(source_commit)} swift build "$@"); }

# swift_build_briefly FLAG…: the same, with one line that says how far it is; all of its words only when it fails.
swift_build_briefly() {
    local words status=0 terminal=''
    words=$(mktemp)
    if [ -t 1 ]; then terminal=1; fi
    swift_build "$@" 2>&1 | tee "$words" | awk -v terminal="$terminal" '
        match($0, /^\[[0-9]+\/[0-9]+\]/) {
            split(substr($0, 2, RLENGTH - 2), count, "/")
            if (terminal) printf "\r\033[K    %s", substr($0, 1, 74)
            else if (count[1] / count[2] >= due) {
                printf "    %d of %d steps\n", count[1], count[2]
                due = count[1] / count[2] + 0.1
            }
            fflush()
        }
        END { if (terminal) printf "\r\033[K" }' || status=$?
    if [ $status != 0 ]; then cat "$words" >&2; fi
    rm -f "$words"
    return $status
}

# build_program NAME: builds a program (release) and sets PROGRAM to its path.
build_program() {
    install_build_needs
    local flags=(-c release --static-swift-stdlib --product "$1")
    if [ -x "$root/.build/release/$1" ]; then
        say "building $1 (release)"
    else
        say "building $1 (release); the first time this takes 5 to 15 minutes"
    fi
    swift_build_briefly "${flags[@]}"
    # shellcheck disable=SC2034
    PROGRAM=$(swift_build "${flags[@]}" --show-bin-path)/$1
}

# Builds the release binary and sets NSM_AGENT to it, unless NSM_AGENT already names one.
build_release() {
    if [ -n "${NSM_AGENT:-}" ]; then
        [ -x "$NSM_AGENT" ] || die "NSM_AGENT=$NSM_AGENT is no program"
        NSM_AGENT=$(realpath "$NSM_AGENT")
    else
        build_program nsm-agent
        NSM_AGENT=$PROGRAM
    fi
    export NSM_AGENT
}

# module_flags MODULE: the compiler's flags, one a line, with which a program can import a module of the debug build that is there.
module_flags() {
    python3 - "$root/.build/debug.yaml" "$1" <<'P'
import json, re, sys

try:
    text = open(sys.argv[1]).read()
    start = re.search(rf'^  "C\.{sys.argv[2]}-.*-debug\.module":$', text, re.M).end()
    words = json.loads(re.search(r"args: (\[.*\])", text[start:])[1])
except (OSError, TypeError, AttributeError):
    sys.exit(f"{sys.argv[2]} is not built: run  swift build")
for flag, value in zip(words, words[1:]):
    if flag in ("-target", "-I") or flag == "-Xcc" and value.startswith(("-fmodule-map-file", "-I", "/")):
        print(f"{flag}\n{value}")
P
}
