"""What a batch costs: ``fixbug bench``'s machinery beside mini-swe-agent's own (``mini-extra swebench``).

    python benchmarks/batch.py [--quick] [--rounds N] [--peer PYTHON] [--json]

Both get the same instances, the same number of workers and the same server on loopback, which answers each
turn after a fixed delay with the same commands. Neither pays for git or containers: a sandbox is a temporary
folder and a shell, as in mini-swe-agent's ``LocalEnvironment``. Both write what they always write (theirs:
a trajectory and preds.json; ours: an attempt's folder, predictions and results). Each side is a process of
its own: throughput is counted once its modules are loaded, processor time and memory from the start of the
process, commands included. Rounds alternate; the table shows medians. Then: memory at 100 and at 2,000
instances, and what one step costs the run store at the beginning and after 20,000 steps.

``--peer``: an interpreter that has mini-swe-agent; without it a throwaway environment is made with pip.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEER = ("mini-swe-agent==2.4.6", "litellm[mcp]")
"""litellm loads its extra ``mcp`` for any request with tools."""
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
TURNS = 6
"""Of the model in each attempt: commands, and the last one submits."""


# --- the endpoint -----------------------------------------------------------------------------------


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The turn after those that the request holds."""
    turn = sum(message["role"] == "assistant" for message in request["messages"])
    command = SUBMIT if turn == TURNS - 1 else f"echo line {turn} >>notes.txt && cat notes.txt"
    call = {
        "id": f"call_{turn}",
        "type": "function",
        "function": {"name": "bash", "arguments": json.dumps({"command": command})},
    }
    message = {"role": "assistant", "content": f"Step {turn}.", "tool_calls": [call]}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


async def serve(delay: float) -> None:
    """An endpoint that has all the time in the world: it prints its port, and answers until it is ended."""
    turns = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turns
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                if head.startswith("GET"):
                    said = {"turns": turns}
                else:
                    turns += 1
                    await asyncio.sleep(delay)
                    said = answer(json.loads(body))
                data = json.dumps(said).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(data) + data
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def endpoint(delay: float) -> Iterator[str]:
    """Its base URL."""
    process = subprocess.Popen(
        [sys.executable, __file__, "serve", str(delay)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


# --- one side: a process that does a batch and says what it used ------------------------------------


def ours(url: str, count: int, workers: int, folder: Path) -> float:
    """``count`` attempts through ``bench``; seconds of the batch."""
    sys.path.insert(0, str(ROOT))
    from importlib import import_module

    import agent.loop
    import agent.scale.batch.jobs
    from agent.request import Request
    from agent.scale.batch.asked import BenchRequest
    from agent.scale.batch.bench import bench
    from agent.task import Task
    from sandbox import SandboxSpec

    for number in range(count):  # a folder of plain tasks, with nothing in their repositories
        task = folder / "tasks" / f"task-{number:04}"
        (task / "repository").mkdir(parents=True)
        (task / "issue.md").write_text(f"# The notes lack lines\n\nNumber {number}.\n")

    def load(issue: str, **_: Any) -> Task:
        text = Path(issue).read_text("utf-8")
        return Task(Path(issue).parent.name, text, base_commit="0" * 40, source=folder)

    def opened(spec: SandboxSpec) -> Folder:
        return Folder()

    agent.scale.batch.jobs.load_task = load  # type: ignore[assignment]  # no copy of a repository, no git
    agent.loop.open_sandbox = opened  # type: ignore[assignment]
    for name in ("openai.resources.chat", "agent.llm.client", "agent.llm.recorded"):
        import_module(name)  # before the clock starts, as litellm is
    base = Request(
        issue="", model="scripted", base_url=url, world_model="none", sandbox="local",
        run_dir=str(folder / "runs"),
    )  # fmt: skip
    began = time.monotonic()
    found = bench(BenchRequest(str(folder / "tasks"), base, workers=workers, run_id="batch"), Silent())
    seconds = time.monotonic() - began
    assert found.results.data["ended"] == count, found.results.data["failures"]
    assert all(one["status"] == "unverified" for one in found.results.attempts)
    return seconds


class Silent:
    """A watcher that shows nothing."""

    def begin(self, job: Any, budget: Any) -> None: ...

    def progress(self, job: Any, progress: Any) -> None: ...

    def end(self, job: Any, summary: Any, error: Any, tally: Any) -> None: ...

    def say(self, text: str) -> None:
        print(text, file=sys.stderr)


class Folder:
    """A ``Sandbox`` that is a temporary folder, and knows neither git nor limits."""

    kind = "local"
    isolated = False
    base_commit = "0" * 40

    def __init__(self) -> None:
        self._opened = time.monotonic()
        self._place = tempfile.TemporaryDirectory(prefix="fixbug-bench-")
        self.workdir = self.scratch = self._place.name

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._opened

    def run(
        self,
        command: str,
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Any:
        from sandbox import ExecResult

        began = time.monotonic()
        ran = subprocess.run(
            ["/bin/sh", "-c", command], cwd=self.workdir, input=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=timeout, check=False, start_new_session=True,
        )  # fmt: skip
        return ExecResult(ran.stdout.decode("utf-8", "replace"), ran.returncode, time.monotonic() - began)

    def read(self, path: str) -> bytes:
        return Path(self.workdir, path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        Path(self.workdir, path).write_bytes(data)

    def diff(self) -> str:
        """Everything in the folder, as new files."""
        parts = []
        for path in sorted(Path(self.workdir).iterdir()):
            lines = path.read_text().splitlines()
            parts.append(
                f"diff --git a/{path.name} b/{path.name}\nnew file mode 100644\n--- /dev/null\n"
                f"+++ b/{path.name}\n@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{line}\n" for line in lines)
            )
        return "".join(parts)

    def apply(self, patch: str) -> None:
        subprocess.run(["patch", "-p1"], cwd=self.workdir, input=patch.encode(), check=True)

    def reset(self) -> None:
        for path in Path(self.workdir).iterdir():
            path.unlink()

    def close(self) -> None:
        self._place.cleanup()

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def peers(url: str, count: int, workers: int, folder: Path) -> float:
    """The same through mini-swe-agent's ``process_instance``, as its batch command calls it."""
    os.environ |= {
        "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_COST_TRACKING": "ignore_errors",
        "MSWEA_GLOBAL_CONFIG_DIR": str(folder / "config"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no request to anywhere else
        "OPENAI_API_KEY": "none",
    }
    import logging
    from concurrent.futures import ThreadPoolExecutor
    from importlib import import_module

    import yaml
    from minisweagent.config import builtin_config_dir
    from minisweagent.run.benchmarks.swebench import process_instance
    from minisweagent.run.benchmarks.utils.batch_progress import RunBatchProgressManager

    # litellm imports it at the first request; where threads do so at once, some fail and wait.
    import_module("litellm.responses.mcp.chat_completions_handler")
    logging.disable(logging.INFO)
    config = yaml.safe_load((builtin_config_dir / "mini.yaml").read_text())
    output = folder / "out"
    output.mkdir()
    progress = RunBatchProgressManager(count, output / "exit_statuses.yaml")

    def one(number: int) -> None:
        with tempfile.TemporaryDirectory(prefix="mini-bench-") as place:
            settings = {
                "agent": {k: config["agent"][k] for k in ("system_template", "instance_template")},
                "model": {"model_name": "openai/scripted", "model_kwargs": {"api_base": url}},
                "environment": {"environment_class": "local", "cwd": place},
            }
            issue = f"# The notes lack lines\n\nNumber {number}.\n"
            instance = {"instance_id": f"task-{number:04}", "problem_statement": issue}
            process_instance(instance, output, settings, progress)

    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        list(pool.map(one, range(count)))
    seconds = time.monotonic() - began
    predictions = json.loads((output / "preds.json").read_text())
    statuses = [json.loads(path.read_text())["info"]["exit_status"] for path in output.glob("*/*.traj.json")]
    assert len(predictions) == count
    assert set(statuses) == {"Submitted"}, set(statuses)
    return seconds


def used(seconds: float, count: int) -> dict[str, float]:
    """What this process, and all that it has started, have used."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(one.ru_utime + one.ru_stime for one in (own, others))
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0])
    began = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    alive = time.clock_gettime(time.CLOCK_BOOTTIME) - began / os.sysconf("SC_CLK_TCK")
    return {
        "attempts_per_second": count / seconds,
        "whole_per_second": count / alive,
        "cpu_ms": 1000 * cpu / count,
        "own_cpu_ms": 1000 * (own.ru_utime + own.ru_stime) / count,
        "rss_mb": peak / 1024,
    }


# --- the comparison ---------------------------------------------------------------------------------


def run(side: str, python: str, url: str, count: int, workers: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="fixbug-batch-") as folder:
        done = subprocess.run(
            [python, __file__, side, url, str(count), str(workers), folder],
            stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{side} failed")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def store_cost(steps: int) -> tuple[float, float]:
    """Microseconds of one step (2 kB) of a trajectory: among the first ones, and after ``steps`` others."""
    sys.path.insert(0, str(ROOT))
    from agent.record import AttemptRecord

    text = "x" * 2000
    with tempfile.TemporaryDirectory(prefix="fixbug-store-") as folder:
        record = AttemptRecord(Path(folder), "instance", {})
        record.begin()
        times = []
        for _ in range(steps):
            began = time.perf_counter()
            record.step("observation", text=text)
            times.append(1e6 * (time.perf_counter() - began))
    edge = steps // 10
    return statistics.median(times[:edge]), statistics.median(times[-edge:])


def peer_python(given: str | None, folder: Path) -> str:
    if given:
        return given
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER], check=True)
    return python


def compare(args: argparse.Namespace, python: str) -> list[dict[str, Any]]:
    count, workers, delay = (40, 16, 0.1) if args.quick else (200, 64, 0.5)
    found: dict[str, list[dict[str, float]]] = {"ours": [], "peers": []}
    with endpoint(delay) as url:
        for _ in range(1 if args.quick else args.rounds):
            found["ours"].append(run("ours", sys.executable, url, count, workers))
            found["peers"].append(run("peers", python, url, count, workers))
    rows = []
    for name, what, target, better in (
        ("attempts_per_second", "attempts a second", 1.0, "more"),
        ("whole_per_second", "attempts a second, start of the program included", None, "more"),
        ("cpu_ms", "processor ms an attempt, commands included", 0.5, "less"),
        ("own_cpu_ms", "processor ms an attempt, without commands", None, "less"),
        ("rss_mb", "memory at its peak, MB", 0.5, "less"),
    ):
        mine, its = (statistics.median(one[name] for one in found[side]) for side in ("ours", "peers"))
        rows.append(row(what, mine, its, target, better))
    few, many = (50, 300) if args.quick else (100, 2000)
    with endpoint(0.01) as url:
        small, large = (run("ours", sys.executable, url, n, workers)["rss_mb"] for n in (few, many))
    rows.append(row(f"memory, MB: {many:,} instances beside {few}", large, small, 1.1, "less"))
    early, late = store_cost(2_000 if args.quick else 20_000)
    rows.append(row("µs a step of the run store: last tenth beside the first", late, early, 1.5, "less"))
    return rows


def row(what: str, mine: float, its: float, target: float | None, better: str) -> dict[str, Any]:
    ratio = mine / its
    met = None if target is None else (ratio >= target if better == "more" else ratio <= target)
    return {"what": what, "ours": mine, "other": its, "ratio": ratio, "target": target, "met": met}


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["serve"]:
        asyncio.run(serve(float(arguments[1])))
        return 0
    if arguments[:1] in (["ours"], ["peers"]):
        side = ours if arguments[0] == "ours" else peers
        count = int(arguments[2])
        seconds = side(arguments[1], count, int(arguments[3]), Path(arguments[4]))
        print(json.dumps(used(seconds, count)))
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="40 instances, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fixbug-peer-") as folder:
        rows = compare(args, peer_python(args.peer, Path(folder)))
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print(f"{'':<58}{'fixbug':>10}{'other':>10}{'ratio':>8}  target")
        for one in rows:
            shown = {None: "", True: "met", False: "MISSED"}[one["met"]]
            target = "" if one["target"] is None else f"{one['target']:g} {shown}"
            print(f"{one['what']:<58}{one['ours']:>10.1f}{one['other']:>10.1f}{one['ratio']:>8.2f}  {target}")
    return 0 if all(one["met"] is not False for one in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
