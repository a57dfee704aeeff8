"""Attempts on a cluster: a real one, of several processes on this machine."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'fixbug-cwm[ray]'")

from agent.errors import UsageError
from agent.scale.batch.bench import bench
from agent.scale.batch.ray_executor import Ray
from tests.agent.scale.batch.batches import Quiet, batch, make_tasks, settle
from tests.openai_server import Reply, serve

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own resources are its own affair


SMALL = {"object_store_memory": 80 * 1024 * 1024}


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster whose head takes no attempts."""
    import ray
    from ray.cluster_utils import Cluster

    here = str(Path(__file__).parents[4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_failure_threshold", "3")
        patch.setenv("PYTHONPATH", f"{here}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        made = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **SMALL}
        )
        try:
            patch.setenv("RAY_ADDRESS", made.address)
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


@pytest.fixture
def cluster(head: Any) -> Any:
    """With two nodes that take one attempt each."""
    while len(head.worker_nodes) < 2:
        head.add_node(num_cpus=1, resources={"engine": 1}, **SMALL)
    return head


def test_ctrl_c_begins_nothing_that_waits_for_room(cluster: Any, tmp_path: Path) -> None:
    """Attempts that wait in the cluster begun after Ctrl-C, and paid for; those that run thrown away; a batch
    that does not go on with the rest."""
    names = [f"good-{n}" for n in range(5)]
    tasks = make_tasks(tmp_path / "tasks", names)
    begun: set[str] = set()
    go_on = threading.Event()
    watcher = Quiet()

    def held(request: dict[str, Any]) -> Reply:
        said = json.dumps(request["messages"])
        begun.update(name for name in names if f"wrong in {name}" in said)
        reply = settle(request)
        return Reply(reply.status, reply.body, reply.headers, until=go_on)

    def stop() -> None:
        for _ in range(2000):
            if len(begun) == 2:
                os.kill(os.getpid(), signal.SIGINT)
                break
            time.sleep(0.1)
        for _ in range(2000):
            if any("waited for room" in text for text in watcher.said):
                break
            time.sleep(0.1)
        go_on.set()

    stopper = threading.Thread(target=stop)
    with serve(held) as server:
        request = batch(tasks, server.base_url, tmp_path / "runs")
        stopper.start()
        found = bench(request, watcher, executor=Ray(4, resource="engine"))
        stopper.join()
        assert "2 attempts that waited for room are not begun" in watcher.said
        assert (found.stopped, found.results.data["resolved"]) == ("it was stopped", 2)
        assert sorted(watcher.ended) == sorted(f"{name}/1" for name in begun)
        assert len(begun) == 2
        rest = bench(request, Quiet(), executor=Ray(4, resource="engine"))
    assert rest.complete
    assert rest.results.data["resolved_ids"] == names


def test_a_node_dies_in_the_middle(cluster: Any, tmp_path: Path) -> None:
    """An attempt that is lost with its node or counted twice; a node that writes to the run folder; a request
    that no node can take waited for without end; a driver that no longer heeds Ctrl-C."""
    names = [f"good-{n}" for n in range(6)]
    tasks = make_tasks(tmp_path / "tasks", names)
    killed = threading.Event()
    begun: list[str] = []
    both = threading.Event()

    def held(request: dict[str, Any]) -> Reply:
        """Nobody gets an answer before each node has an attempt and one of the nodes is dead."""
        said = json.dumps(request["messages"])
        if not any(message["role"] == "assistant" for message in request["messages"]):
            begun.extend(name for name in names if f"wrong in {name}" in said)
        if len(set(begun)) > 1:
            both.set()
        reply = settle(request)
        return Reply(reply.status, reply.body, reply.headers, until=killed)

    def kill() -> None:
        both.wait(200)
        cluster.remove_node(list(cluster.worker_nodes)[-1], allow_graceful=False)
        killed.set()

    killer = threading.Thread(target=kill)
    before = signal.getsignal(signal.SIGTERM)
    with serve(held) as server:
        request = batch(tasks, server.base_url, tmp_path / "runs")
        with pytest.raises(UsageError, match=r"nodes has what an attempt needs: 1 CPU, 1 gpu-of-ours"):
            bench(request, Quiet(), executor=Ray(2, resource="gpu-of-ours"))
        assert signal.getsignal(signal.SIGTERM) is before
        killer.start()
        found = bench(request, watcher := Quiet(), executor=Ray(2, resource="engine"))
        killer.join()
    assert both.is_set()
    assert len(begun) > len(names), "the attempt on the dead node was not begun again"
    assert found.complete
    assert sorted(watcher.ended) == [f"{name}/1" for name in names]
    assert found.results.data["resolved_ids"] == names
    assert [one["instance_id"] for one in found.results.data["by_attempt"]] == names
    folder = found.folder
    assert json.loads((folder / "run.json").read_text())["asked"]["instances"] == names
    for path in folder.glob("*/1/trajectory.jsonl"):
        kinds = [json.loads(line)["type"] for line in path.read_text().splitlines()]
        assert (kinds[0], kinds[-1], kinds.count("session")) == ("session", "end", 1)
