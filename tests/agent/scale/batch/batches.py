"""A folder of small plain tasks, and a scripted model that settles each in two turns."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from agent.request import Request
from agent.scale.batch.asked import BenchRequest
from agent.scale.batch.tasks import write_task
from tests.openai_server import Reply, call, tools

BUG, FIX = "    return 0\n", "    return 1\n"


def make_tasks(folder: Path, names: list[str]) -> Path:
    """One function that returns 0 and should return 1, in a repository a name; nothing shows it but the
    hidden test, so an attempt is quick."""
    for name in names:
        write_task(
            folder / name,
            issue=f"# one() is wrong in {name}\n\nIt returns 0 and should return 1.\n",
            files={"one.py": f'"""{name}"""\n\n\ndef one():\n{BUG}'},
            tests=[],
            hidden="from one import one\n\n\ndef test_one():\n    assert one() == 1\n",
        )
    return folder


def settle(request: dict[str, Any]) -> Reply:
    """Edit, then propose. Tasks whose name has ``bad`` in it get a wrong patch, ``idle`` ones none."""
    said = [message for message in request["messages"] if message["role"] == "assistant"]
    about = json.dumps(request["messages"])
    if re.search(r"wrong in \S*idle", about):
        return tools(call("bash", {"command": "true"}, id=f"call_{len(said)}"))
    if said:
        return tools(call("propose", {"note": "done"}, id=f"call_{len(said)}"))
    new = "    return 2\n" if re.search(r"wrong in \S*bad", about) else FIX
    return tools(call("edit", {"path": "one.py", "old": BUG, "new": new}, id="call_e"))


def batch(dataset: Path, base_url: str, run_dir: Path, **changes: Any) -> BenchRequest:
    """A request for the scripted model, in the local sandbox. ``changes``: fields of either request."""
    fields = Request.__dataclass_fields__
    base = Request(
        issue="", model="scripted", base_url=base_url, world_model="none", sandbox="local",
        budget_steps=4, run_dir=str(run_dir), **{k: v for k, v in changes.items() if k in fields},
    )  # fmt: skip
    rest = {key: value for key, value in changes.items() if key not in fields}
    return BenchRequest(dataset=str(dataset), base=base, **{"workers": 2, **rest})


class Quiet:
    """A watcher that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.ended: list[str] = []

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def begin(self, job: Any, budget: Any) -> None:
        pass

    def progress(self, job: Any, progress: Any) -> None:
        pass

    def end(self, job: Any, summary: Any, error: Any, tally: Any) -> None:
        self.ended.append(job.name)

    def say(self, text: str) -> None:
        self.said.append(text)
