# What the scripts share that run the peer: processes, waiting, checks. Sourced, never run; $here is the peer's folder.
# shellcheck shell=bash

work=$(mktemp -d)
export TMPDIR=$work/tmp
mkdir "$TMPDIR"
declare -A pids=()
failed=0 passed=0
cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

check() { # check WHAT COMMAND…
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok   $what"
    else
        failed=$((failed + 1))
        echo "FAIL $what"
    fi
}

# start NAME NAMESPACE ROLE OPTION…: in the background; events in NAME.out, logs in NAME.err.
start() {
    local name=$1 namespace=$2 within=()
    shift 2
    : >"$work/$name.out" >"$work/$name.err"
    if [ -n "$namespace" ]; then within=(ip netns exec "$namespace"); fi
    "${within[@]}" "$here/peer" "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
    pids[$name]=$!
}

# finish NAME [SIGNAL]: ends it and returns its exit code.
finish() {
    local code=0
    kill "-${2:-TERM}" "${pids[$1]}" 2>/dev/null || true
    wait "${pids[$1]}" 2>/dev/null || code=$?
    unset "pids[$1]"
    return "$code"
}

count() { grep -c "\"event\": \"$2\"" "$work/$1.out" || true; }
reaches() { [ "$(count "$1" "$2")" -ge "$3" ]; }
eventually() { # eventually SECONDS COMMAND…
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ $SECONDS -ge $end ]; then return 1; fi
        sleep 0.1
    done
}
within() { eventually "$1" reaches "$2" "$3" "${4:-1}"; } # within SECONDS NAME EVENT [COUNT]

veths() { ip -n "$1" -br link show type veth; }
index() { ip -n "$1" -o link show "$2" | cut -d: -f1; }
address() { ip -n "$1" -br address show "$2" | tr -s ' ' | cut -d' ' -f3-; }
