"""A cluster of Ray on this machine, for the tests of one module: a head without processors, and nodes that are added."""

import os
from contextlib import contextmanager

SETTINGS = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "10",  # with 2, a starved node of a busy machine is taken for dead
    "RAY_worker_niceness": "0",  # Ray's 15 starves its workers where anything else runs
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
_STORE_BYTES = 80 << 20


@contextmanager
def ray_nodes(count, cpus):
    """A cluster with `count` nodes, which this process is connected to. Use it in the main thread. Gives it and its nodes."""
    import ray
    from ray.cluster_utils import Cluster

    before = {name: os.environ.get(name) for name in SETTINGS}
    os.environ.update(SETTINGS)
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    )
    try:
        nodes = [add_node(cluster, cpus) for _ in range(count)]
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster, nodes
    finally:
        ray.shutdown()
        cluster.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def add_node(cluster, cpus):
    """Start a node of its own processes on this machine."""
    return cluster.add_node(num_cpus=cpus, object_store_memory=_STORE_BYTES)
