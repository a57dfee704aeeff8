"""``fixbug --issue``: from what was asked to the outcome: issue, parts, attempt."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from agent.errors import UsageError
from agent.events import Listener, Progress, silent
from agent.outcome import Outcome
from agent.record import AttemptRecord, check_place, folder_name, new_run_id
from agent.request import OFFLINE, Request, advice, is_live, world_model
from agent.task import Task
from agent.workspace import workspace

if TYPE_CHECKING:
    from agent.llm import Model
    from agent.llm.budget import Budget
    from agent.llm.recorded import Session
    from agent.proposer import Proposer
    from agent.trial import Feedback
    from agent.world.calibration.gate import Gate
    from agent.world.calibration.ledger import Ledger
    from agent.world.simulate import Simulator
    from sandbox import Kind, SandboxSpec

DEFAULT_STEPS = 100
DEFAULT_SECONDS = 3600.0
TEST_SECONDS = 300.0
SEARCH_SECONDS = 180.0
SEARCH_SHARE = 0.9
"""What the offline search may use: so many seconds, or this share of the attempt's budget."""


def fix(request: Request, listener: Listener = silent, *, resume: Path | None = None) -> Outcome:
    """Run one attempt as asked. ``resume``: the folder of the same run, which was interrupted.

    Raises ``FixbugError``: ``UsageError`` where the request is at fault, others where the
    environment is. Bad input leaves no run folder behind.
    """
    from agent.intake import load_task

    check_place(resume or Path(request.run_dir))
    with workspace() as place:
        issue = request.issue
        if resume is not None and issue == "-":
            issue = str(place / "issue.md")
            Path(issue).write_text(_asked(resume)["problem_statement"], "utf-8")
        listener(Progress("intake", f"reading {issue}", passing=True))
        task = load_task(
            issue,
            repo=request.repo,
            ref=request.ref,
            tests=request.tests,
            hidden_tests=Path(request.hidden_tests) if request.hidden_tests else None,
            image=request.image,
            workspace=place,
            on_progress=lambda text: listener(Progress("intake", text)),
        )
        if resume is not None:
            task = _as_it_was(task, resume)
        listener(Progress("intake", f"{task.instance_id}: {_title(task)}"))
        run_folder = resume or Path(request.run_dir) / new_run_id(task.instance_id)
        record = AttemptRecord(run_folder, task.instance_id, _about(request, task))
        return attempt(task, request, record, listener)


def resume_request(run: Path) -> Request:
    """What the interrupted run in folder ``run`` was asked. Raises ``UsageError``."""
    asked = _asked(run)["request"]
    if any(run.glob("*/*/attempt.json")):
        raise UsageError(
            f"{run} has ended: there is nothing to resume",
            cure="its outcome is in attempt.json; start a new run with --issue",
        )
    known = Request.__dataclass_fields__
    request = Request(**{name: value for name, value in asked.items() if name in known})
    return replace(request, tests=tuple(request.tests))


def _asked(run: Path) -> dict[str, Any]:
    try:
        asked = json.loads((run / "run.json").read_text("utf-8"))
        asked["request"], asked["problem_statement"], asked["instance_id"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{run} is no run that can be resumed: its run.json cannot be read ({type(error).__name__})",
            cure="name a folder that a run has made, such as runs/20261123-191500-stale-cache-3f2a",
        ) from error
    return cast("dict[str, Any]", asked)


def _as_it_was(task: Task, run: Path) -> Task:
    """The task under the name that it had. Raises ``UsageError`` where the code is another than it was."""
    asked = _asked(run)
    began = asked.get("base_commit")
    if task.base_commit != began:
        raise UsageError(
            f"{run} began at commit {began}, and the repository is at {task.base_commit} now",
            cure="bring the repository back to where it was, or start a new run with --issue",
        )
    return replace(task, instance_id=asked["instance_id"], problem_statement=asked["problem_statement"])


def budget_for(request: Request) -> Budget:
    """What one attempt may use; its seconds run from now."""
    from agent.llm.budget import Budget

    return Budget(
        tokens=request.budget_tokens,
        usd=request.budget_usd,
        steps=request.budget_steps or DEFAULT_STEPS,
        seconds=request.budget_seconds or DEFAULT_SECONDS,
    )


def attempt(
    task: Task,
    request: Request,
    record: AttemptRecord,
    listener: Listener = silent,
    *,
    budget: Budget | None = None,
    ledger: Ledger | None = None,
) -> Outcome:
    """Make the parts that ``request`` names, and let them try ``task``, going on with what ``record`` holds.

    ``ledger``: the predictions that trust rests on (default: all below ``request.run_dir``). Errors as
    ``fix``.
    """
    from agent.loop import Attempt
    from agent.trial import LoopSettings
    from agent.world.calibration.ledger import read_ledger

    budget = budget or budget_for(request)
    model = _live_model(request, budget, listener)
    session = _session(task, request, record)
    return Attempt(
        task=task,
        spec=_spec(task, request, listener),
        proposer=_proposer(request, session, record, model, budget, listener),
        record=record,
        budget=budget,
        settings=LoopSettings(
            world_model=world_model(request),
            runs=request.runs,
            samples=request.samples,
            gate=cast("Gate", request.gate),
            max_rounds=request.max_rounds,
            blind=request.blind,
            feedback=cast("Feedback", request.feedback),
            test_seconds=_test_seconds(request, model, session),
        ),
        model=model,
        simulator=_simulator(request, model, budget, listener),
        session=session if request.session else None,
        ledger=read_ledger([Path(request.run_dir)]) if ledger is None else ledger,
        asked={"prompt": request.prompt, "temperature": request.temperature, "seed": request.seed},
        listener=listener,
    ).run()


def _live_model(request: Request, budget: Budget, listener: Listener) -> Model | None:
    """The endpoint's model. None: the offline search, or a replay that ends with its record."""
    from agent.llm.client import ChatModel
    from agent.llm.settings import load_settings

    if not is_live(request):
        return None
    settings = load_settings(model=request.model, base_url=request.base_url)
    return ChatModel(settings, budget, on_event=lambda event: listener(Progress("propose", event.text)))


def _session(task: Task, request: Request, record: AttemptRecord) -> Session | None:
    """The recorded session to begin with: the one to replay, or the turns of an interrupted run."""
    from agent.llm.recorded import load_session

    trajectory = record.interrupted()
    own = load_session(trajectory, task.instance_id) if trajectory else None
    if not request.session:
        return own
    session = load_session(Path(request.session), task.instance_id)
    if own is not None and len(own.turns) > len(session.turns):
        return replace(session, turns=own.turns)
    return session


def _proposer(
    request: Request,
    session: Session | None,
    record: AttemptRecord,
    model: Model | None,
    budget: Budget,
    listener: Listener,
) -> Proposer:
    from agent.llm.protocol import ActionProtocol, protocol_for
    from agent.llm.recorded import RecordedModel
    from agent.llm.settings import load_settings
    from agent.proposer import AgentProposer

    def agent(speaker: Model, protocol: ActionProtocol) -> AgentProposer:
        return AgentProposer(
            speaker,
            protocol,
            budget,
            record,
            listener,
            temperature=request.temperature,
            seed=request.seed,
            told=cast("Feedback", request.feedback),
            advice=advice(request),
        )

    if session is not None and session.protocol != "offline":
        own = None if request.session else budget
        return agent(RecordedModel(session, then=model, paid_by=own), protocol_for(session.protocol))
    if model is not None:
        name = cast(Literal["tools", "text"], request.protocol or load_settings().protocol)
        return agent(model, protocol_for(name))
    from agent.offline import Budget as SearchBudget
    from agent.offline import OfflineProposer

    seconds = SEARCH_SHARE * request.budget_seconds if request.budget_seconds else SEARCH_SECONDS
    return OfflineProposer(SearchBudget(seconds=seconds), seed=request.seed or 0, listener=listener)


def _test_seconds(request: Request, model: Model | None, session: Session | None) -> float:
    """Time limit of one go of the tests: a search, which repeats them often, has no use for slow ones."""
    if model is not None or (session is not None and session.protocol != "offline"):
        return TEST_SECONDS
    return max(10.0, (request.budget_seconds or SEARCH_SECONDS) / 6)


def _simulator(request: Request, model: Model | None, budget: Budget, listener: Listener) -> Simulator | None:
    """The simulator of a model. None: the oracle, or nobody."""
    kind = world_model(request)
    if kind in ("oracle", "none"):
        return None
    from agent.llm.settings import load_settings
    from agent.simulators import SimulatingModel, as_format, simulating_settings

    proposing = None if request.model == OFFLINE else request.model
    settings = load_settings(model=proposing, base_url=request.base_url)
    other = request.sim_model or request.sim_base_url
    return SimulatingModel(
        as_format(kind),
        simulating_settings(request.sim_model, request.sim_base_url, settings) if other else settings,
        budget,
        None if other else model,
        request.repair,
        request.tokenizer,
        on_event=lambda event: listener(Progress("simulate", event.text)),
    ).simulator()


def _spec(task: Task, request: Request, listener: Listener) -> SandboxSpec:
    """Where to work: the kind, and for Docker an image that holds what the tests need."""
    from sandbox import SandboxSpec

    kind = _kind(request)
    row = task.hidden.row if task.hidden else None
    if kind == "local":
        if task.source is None or row is not None:
            raise UsageError(
                f"{task.instance_id} is a SWE-bench row: its tests run in its own image, which needs Docker",
                cure="start a Docker engine (fixbug doctor says what is missing)",
            )
        image = None
    else:
        image = request.image or _image(task, row, listener)
    return SandboxSpec(
        kind=kind,
        image=image,
        source=None if row is not None else task.source,
        workdir=task.workdir,
        base_commit=task.base_commit,
        python=request.python or _project_python(request.repo),
        network=request.network,
        labels={"fixbug.instance": folder_name(task.instance_id)},
    )


def _kind(request: Request) -> Kind:
    if request.sandbox != "auto":
        return cast("Kind", request.sandbox)
    from sandbox.docker import engine_answers

    return "docker" if engine_answers() else "local"


def _image(task: Task, row: Mapping[str, Any] | None, listener: Listener) -> str:
    from sandbox.environment import image_for_row, image_for_tree

    def progress(text: str) -> None:
        listener(Progress("open", text))

    if row is not None:
        return image_for_row(row, on_progress=progress)
    assert task.source is not None
    return image_for_tree(task.source, on_progress=progress)


def _project_python(repo: str | None) -> str | None:
    """The interpreter of the repository's own virtual environment, if it has one (local sandbox)."""
    python = Path(repo or "", ".venv", "bin", "python")
    return str(python.absolute()) if repo and python.is_file() else None


def _about(request: Request, task: Task) -> dict[str, Any]:
    """``run.json``: what was asked, and with which versions."""
    packages = ("fixbug-cwm", "openai", "docker", "swebench", "gitpython", "tenacity", "pytest")
    asked = asdict(request)
    for name in ("base_url", "sim_base_url", "repo", "issue"):
        asked[name] = without_credentials(asked[name])
    return {
        "schema": 1,
        "request": asked,
        "instance_id": task.instance_id,
        "problem_statement": task.problem_statement,
        "base_commit": task.base_commit,
        "repo": task.repo,
        "url": task.url,
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in packages}},
        "platform": platform.platform(),
    }


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def without_credentials(url: str | None) -> str | None:
    """A URL less its user name and password."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", url) if url else url


def _title(task: Task) -> str:
    lines = [line.strip("# \t") for line in task.problem_statement.splitlines()]
    return next((line for line in lines if line), "")[:100]
