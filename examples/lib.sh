# What the examples' `run` scripts share. Sourced, never run.
# shellcheck shell=bash
#
# An example runs in network and mount namespaces of its own, with an empty /run/netns, so it can neither meet nor change
# the network of the machine; whatever it made ends with it. With root it needs nothing else; without root the kernel
# must let users make namespaces. Exit code 77: skipped, and the last line says why.

here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
cd "$here"
. ../../scripts/lib.sh

if [ -z "${NSM_AGENT:-}" ]; then
    NSM_AGENT=$(command -v nsm-agent || ls "$root/.build/release/nsm-agent" 2>/dev/null) ||
        die "no nsm-agent found: install it, run scripts/quickstart once, or set NSM_AGENT=PATH"
fi
NSM_AGENT=$(realpath "$NSM_AGENT")
export NSM_AGENT

if [ -z "${EXAMPLE_SANDBOX:-}" ]; then
    export EXAMPLE_SANDBOX=1
    in_private_namespaces bash "$here/$(basename "$0")" "$@"
fi
unset EXAMPLE_SANDBOX

work=$(mktemp -d)
background=()
clean_up() {
    local status=$? process
    trap - EXIT
    for process in ${background[@]+"${background[@]}"}; do kill "$process" 2>/dev/null || true; done
    for process in ${background[@]+"${background[@]}"}; do wait "$process" 2>/dev/null || true; done
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -t 1 ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
    bold='' dim='' plain=''
fi

# The agent, called by its name in what the reader sees.
nsm-agent() { "$NSM_AGENT" "$@"; }

title() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }

# step COMMAND…: shows a command as one would type it, then runs it.
step() {
    printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
    "$@"
}

# quietly COMMAND…: runs a command and shows what it printed only if it fails.
quietly() {
    if ! "$@" >"$work/quiet" 2>&1; then
        cat "$work/quiet" >&2
        return 1
    fi
}

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

# expect TEXT COMMAND…: the command must succeed and print a line that contains the text.
expect() {
    local text=$1
    shift
    local out
    out=$("$@" 2>&1) || { printf '%s\n' "$out" >&2; fail "$*"; }
    [[ $out == *"$text"* ]] || { printf '%s\n' "$out" >&2; fail "$* did not say: $text"; }
}

# gone TEXT COMMAND…: the command must not print the text.
gone() {
    local text=$1
    shift
    local out
    out=$("$@" 2>&1) || true
    [[ $out != *"$text"* ]] || { printf '%s\n' "$out" >&2; fail "$* still says: $text"; }
}

# within SECONDS COMMAND…: tries until the command succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt "$end" ] || fail "not in time: $*"
        sleep 0.02
    done
}

# pings FROM-NAMESPACE ADDRESS…: one echo; tries for a few seconds, as neighbours must be found first.
pings() {
    local from=$1
    shift
    within 10 ip netns exec "$from" ping -q -c1 -W1 "$@"
    printf '%s%s can ping %s%s\n' "$dim" "$from" "${!#}" "$plain"
}
