"""What a batch is asked: the request, its folder's name, what ``run.json`` says of it, and reading that."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from agent.errors import UsageError
from agent.fix import version_of, without_credentials
from agent.llm.settings import OPENAI, load_settings
from agent.record import folder_name
from agent.request import OFFLINE, Request, advice, settled
from agent.scale.batch.jobs import Instance, instances_of
from agent.scale.batch.store import SCHEMA, read_run
from agent.scale.batch.tasks import is_task_folder

__all__ = ["BenchRequest", "config_of", "ids_in", "replayed", "resumed", "run_folder"]

_ADDRESSES = ("base_url", "sim_base_url")
_ANEW = ("model", "sim_model", *_ADDRESSES)
"""What may be said again when a run is resumed: a URL's password is not on record."""
_PACKAGES = ("fixbug-cwm", "openai", "docker", "swebench", "gitpython", "tenacity", "pytest")


@dataclass(frozen=True)
class BenchRequest:
    """What was asked. ``base``: the request that each instance's is made from; its seed is the first one's.

    ``run_usd``, ``run_tokens``, ``run_seconds``: once so much is used no further attempt is begun.
    """

    dataset: str
    base: Request
    attempts: int = 1
    instances: tuple[str, ...] = ()
    pattern: str | None = None
    exclude: tuple[str, ...] = ()
    cut: str | None = None
    sample: int | None = None
    workers: int = 4
    run_id: str | None = None
    run_usd: float | None = None
    run_tokens: int | None = None
    run_seconds: float | None = None
    fail_fast: bool = False
    record: Path | None = None
    """A finished run whose attempts are made again from their trajectories, without a model."""
    variations: tuple[Mapping[str, Any], ...] = ()
    """Fields of ``base`` that an instance's attempts have in turn."""

    def settled(self) -> BenchRequest:
        """The same with environment and defaults written out (``agent.request.settled``)."""
        if self.record is not None:
            return self
        for varied in self.variations:
            settled(replace(self.base, **varied))
        return replace(self, base=replace(settled(self.base), seed=self.base.seed or 0))

    def selected(self) -> list[Instance]:
        """The instances, in the dataset's order. Errors as ``instances_of``."""
        return instances_of(
            self.dataset,
            self.base,
            instances=self.instances,
            pattern=self.pattern,
            exclude=self.exclude,
            cut=self.cut,
            sample=self.sample,
            seed=self.base.seed or 0,
        )


def run_folder(request: BenchRequest, instances: Sequence[Instance]) -> Path:
    """The run's folder: the same for the same question, so that the same command goes on.

    Raises ``UsageError`` for a name that is none.
    """
    if request.run_id:
        if folder_name(request.run_id) != request.run_id:
            raise UsageError(
                f"the run cannot be called {request.run_id!r}", cure="letters, digits, ., _ and - make a name"
            )
        return Path(request.base.run_dir) / request.run_id
    request = request.settled()
    asked = json.dumps(_asked(request, instances), sort_keys=True, default=str)
    name = re.sub(r"[^A-Za-z0-9]+", "-", f"{Path(request.dataset).name.split('.')[0]}-{request.base.model}")
    return Path(request.base.run_dir) / f"bench-{name.strip('-').lower()[:60]}-{_sha(asked)[:8]}"


def ids_in(path: Path | None) -> tuple[str, ...]:
    """The instance ids in a file, one a line; ``#`` begins a comment. Raises ``UsageError``."""
    if path is None:
        return ()
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", cure="give a file of ids, one a line") from error
    return tuple(name for line in lines if (name := line.partition("#")[0].strip()))


def resumed(folder: Path, given: BenchRequest) -> BenchRequest:
    """What the run in ``folder`` was asked, with ``given``'s workers and bounds of the run.

    An endpoint's address is ``given``'s, else the environment's, else the one that was asked last. Raises
    ``UsageError`` where the folder holds no run.
    """
    folder = folder.resolve()
    run = read_run(folder)
    asked = run["asked"]
    known = Request.__dataclass_fields__
    base = {name: value for name, value in asked["request"].items() if name in known}
    base |= _last_endpoint(run)
    base |= {name: value for name in _ANEW if (value := getattr(given.base, name)) is not None}
    return replace(
        given,
        dataset=asked["dataset"],
        base=Request(**base, issue="", run_dir=str(folder.parent)),
        attempts=run["attempts"],
        variations=tuple(asked.get("variations", ())),
        instances=tuple(asked["instances"]),
        pattern=None,
        exclude=(),
        cut=None,
        sample=None,
        run_id=folder.name,
        record=Path(asked["record"]) if asked.get("record") else None,
    )


def replayed(folder: Path, given: BenchRequest) -> BenchRequest:
    """The run in ``folder`` again, from its record: its model's turns, everything else live."""
    again = resumed(folder, given)
    base = replace(again.base, run_dir=given.base.run_dir, sandbox=given.base.sandbox, world_model=None)
    return replace(again, base=base, run_id=given.run_id or f"replay-{folder.name}", record=folder.resolve())


def config_of(request: BenchRequest, instances: Sequence[Instance]) -> dict[str, Any]:
    """``run.json``: ``asked`` makes the run what it is; the rest is for whoever reads it."""
    return {
        "schema": SCHEMA,
        "kind": "bench",
        "asked": _asked(request, instances),
        "attempts": request.attempts,
        "endpoints": [_endpoint(request.base)],
        "seed": request.base.seed,
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in _PACKAGES}},
        "platform": platform.platform(),
        "started": time.time(),
    }


def _asked(request: BenchRequest, instances: Sequence[Instance]) -> dict[str, Any]:
    left_out = ("issue", "repo", "ref", "tests", "hidden_tests", "run_dir", "session", *_ADDRESSES)
    asked = {key: value for key, value in asdict(request.base).items() if key not in left_out}
    return {
        "dataset": _whole_path(request.dataset),
        "dataset_sha256": _sha("".join(_content(one) for one in instances)),
        "instances": [one.instance_id for one in instances],
        **({"record": str(request.record)} if request.record else {}),
        **({"variations": [dict(one) for one in request.variations]} if request.variations else {}),
        "prompts_sha256": _prompts(),
        **_advice(request),
        "request": asked,
    }


def _endpoint(base: Request) -> dict[str, str | None]:
    """Where the models are. It is on record, and may change: what was asked of them does not hang on it."""
    url = load_settings(base_url=base.base_url).endpoint if base.model != OFFLINE else None
    return {"base_url": url, "sim_base_url": without_credentials(base.sim_base_url)}


def _last_endpoint(run: Mapping[str, Any]) -> dict[str, str | None]:
    """The addresses that were asked last; of the proposing model's not where the environment has one."""
    last = dict(run["endpoints"][-1]) if run.get("endpoints") else {}
    in_environment = load_settings().base_url != OPENAI
    return {name: last.get(name) for name in _ADDRESSES if not (name == "base_url" and in_environment)}


def _whole_path(dataset: str) -> str:
    """A file or folder from the root on: a run can be resumed from anywhere."""
    path = Path(dataset).expanduser()
    return str(path.resolve()) if path.is_file() or is_task_folder(path) else dataset


def _content(one: Instance) -> str:
    """What the instance is, wherever it lies."""
    if one.row is not None:
        return json.dumps(one.row, sort_keys=True, default=str)
    folder = Path(one.request.issue).parent
    known = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if {".git", "__pycache__"} & set(path.parts):
            continue
        known.append((path.relative_to(folder).as_posix(), _sha_of(path)))
    return json.dumps([one.instance_id, known])


def _prompts() -> str:
    templates = sorted(
        (entry.name, entry.read_text("utf-8"))
        for entry in files("prompts").iterdir()
        if entry.name.endswith(".j2")
    )
    return _sha(json.dumps(templates))


def _advice(request: BenchRequest) -> dict[str, str]:
    """Of the variants of the prompt that are asked for: what is in them may change under their names."""
    texts = [advice(replace(request.base, **one)) for one in request.variations or ({},)]
    return {"advice_sha256": _sha(json.dumps(texts))} if any(texts) else {}


def _sha_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
