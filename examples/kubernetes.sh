# What the examples with CNFConfiguration resources share: a stand-in for the API server, and its kubectl. Sourced, never run.
# shellcheck shell=bash

kubernetes=../../Tests/Kubernetes
api=http://127.0.0.1:18080

# What the examples of resources need beside the agent.
need_kubernetes() {
    python3 -c 'import yaml' 2>/dev/null || skip "PyYAML is needed (Debian: python3-yaml)"
}

need_controller() {
    CNF_CRD=${CNF_CRD:-$(dirname "$NSM_AGENT")/cnf-crd}
    [ -x "$CNF_CRD" ] || skip "cnf-crd is not built: swift build -c release --product cnf-crd, or set CNF_CRD=PATH"
    if ! command -v etcd >/dev/null || ! command -v etcdctl >/dev/null; then
        skip "etcd and etcdctl are needed (Debian: etcd-server, etcd-client)"
    fi
}

# kube COMMAND…: apply FILE…, wait NAMESPACE/NAME CONDITION SECONDS, show NAMESPACE/NAME, delete NAMESPACE/NAME.
kube() { python3 -B $kubernetes/apply.py $api "$@"; }

# start_api: the stand-in, with the definition, and a kubeconfig for it in $work/kubeconfig.
start_api() {
    python3 -B $kubernetes/standin.py 18080 >"$work/api.log" 2>&1 &
    background+=($!)
    within 20 curl -fsS -o "$work/ready" $api/readyz
    cat >"$work/kubeconfig" <<EOT
apiVersion: v1
kind: Config
current-context: demo
contexts: [{name: demo, context: {cluster: demo, user: demo, namespace: cnf-demo}}]
clusters: [{name: demo, cluster: {server: "$api"}}]
users: [{name: demo, user: {token: demo}}]
EOT
    quietly kube apply ../kubernetes-crd/crd/cnfconfigurations.yaml
}

# start_etcd: one member on $etcd.
etcd=127.0.0.1:22379
start_etcd() {
    etcd --name one --data-dir "$work/etcd" --listen-client-urls http://$etcd --advertise-client-urls http://$etcd \
        --listen-peer-urls http://127.0.0.1:22380 >"$work/etcd.log" 2>&1 &
    background+=($!)
    export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=$etcd
    within 30 etcdctl endpoint health
}

# start_controller OPTION…: cnf-crd, as its Deployment runs it.
start_controller() {
    "$CNF_CRD" --kubeconfig "$work/kubeconfig" --lease-namespace cnf-system --etcd-endpoints $etcd --health 127.0.0.1:18081 --lease-seconds 3 \
        "$@" >"$work/cnf-crd.log" 2>&1 &
    controller=$!
    background+=("$controller")
    within 20 curl -fsS -o "$work/ready" http://127.0.0.1:18081/readyz
}
