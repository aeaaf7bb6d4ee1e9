# What the examples of the library share. Sourced after lib.sh, never run.
# shellcheck shell=bash

binaries=$(dirname "$NSM_AGENT")
for name in nsm-client-example nsm-endpoint-example; do
    [ -x "$binaries/$name" ] || skip "$binaries/$name is not built; run  swift build --product $name"
done

for pod in client client2 server; do
    ip netns add $pod
    ip -n $pod link set lo up
done
export NSM_CONNECT_TO=unix://$work/nsm.io.sock SPIFFE_ENDPOINT_SOCKET=unix://$work/workload.sock

mesh() {
    "$NSM_AGENT" mesh --open --listen "$NSM_CONNECT_TO" --state-dir "$work/state" \
        --workload-socket "$work/workload.sock" \
        >>"$work/mesh.log" 2>&1 &
    background+=($!)
}
# program POD NAME ARGUMENTS…: runs a program in a pod; its process id is in $program.
program() {
    local pod=$1 name=$2
    shift 2
    NSM_NAME=$pod ip netns exec "$pod" stdbuf -oL "$binaries/$name" "$@" >>"$work/$pod.log" 2>>"$work/$pod.errors" &
    program=$!
    background+=("$program")
}
logs() {
    local status=$?
    if [ $status != 0 ] && [ $status != 77 ]; then tail -n 30 "$work"/*.log "$work"/*.errors >&2; fi
    return $status
}
trap 'logs || true; clean_up' EXIT
