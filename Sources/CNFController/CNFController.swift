/// CNFConfiguration resources of Kubernetes, written into etcd for the agents that read there.
///
/// What belongs to whom, and what is to be written, is decided by values that know neither etcd nor the API server (`Core`).
