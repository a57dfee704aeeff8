"""From what a user names (issue URL, file, benchmark row) to a Task."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.errors import IntakeError
from agent.intake.dataset import check_row, find_row, is_dataset, load_rows
from agent.intake.git import Token
from agent.intake.github import clone_token, fetch_issue, parse_issue_url
from agent.intake.hygiene import visible
from agent.intake.repository import Source, is_url, prepare
from agent.intake.visible_tests import GivenTests, given_tests
from agent.task import Hidden, Task

__all__ = ["check_row", "find_row", "load_rows", "load_task", "task_for_row"]

Progress = Callable[[str], None]

_FORMS = "give a GitHub issue's URL, a Markdown file, - (standard input), or DATASET#INSTANCE_ID"

_SAY_NOTHING = ("issue", "bug", "report", "readme", "description")
"""File names that name no issue."""


def load_task(
    issue: str,
    *,
    repo: str | None = None,
    ref: str | None = None,
    tests: Sequence[str] = (),
    hidden_tests: Path | None = None,
    image: str | None = None,
    workspace: Path,
    on_progress: Progress = lambda text: None,
) -> Task:
    """The task that ``issue`` names; docs/issues-and-datasets.md has the forms.

    ``workspace`` is a directory on the host: the copy of the repository is made in it, as
    ``workspace / instance_id``, and is left to the caller. ``on_progress`` gets a line for everything a
    user should know (what was left out, what was added).

    Raises ``IntakeError`` (what was named is not there or malformed) or ``RemoteError`` (a server
    refuses or cannot be reached); then nothing is left in ``workspace``.
    """
    if hidden_tests is not None and not hidden_tests.exists():
        raise IntakeError(
            f"expected hidden tests, {hidden_tests} does not exist", cure="check --hidden-tests"
        )
    issue = issue.strip()
    dataset, instance_id = _row_name(issue)
    if dataset:
        row = find_row(load_rows(dataset), instance_id)
        return task_for_row(
            row, repo=repo, ref=ref, tests=tests, hidden_tests=hidden_tests, image=image, workspace=workspace,
            on_progress=on_progress,
        )  # fmt: skip
    url, name, token = None, "", None
    where = repo
    if _is_web(issue):
        found = fetch_issue(parse_issue_url(_with_scheme(issue)), on_progress)
        for note in found.notes:
            on_progress(note)
        statement, url = found.text, found.ref.url
        instance = _slug(f"{found.ref.owner}__{found.ref.repo}-{found.ref.number}")
        name = f"{found.ref.owner}/{found.ref.repo}"
        if where is None:
            where, token = found.ref.clone_url, clone_token(found.ref)
    else:
        statement = _written(issue, on_progress)
        digest = hashlib.sha256(statement.encode()).hexdigest()[:8]
        instance = f"stdin-{digest}" if issue == "-" else _slug(_file_name(Path(issue)))
    if where is None:
        raise IntakeError(
            "which repository the issue is about is not said",
            cure="give --repo PATH or URL (--repo . for this one)",
        )
    source = _source(where, instance, ref, hidden_tests, token, workspace, on_progress)
    given = _tests(tests, source, where, hidden_tests, on_progress)
    return Task(
        instance_id=instance,
        problem_statement=statement,
        base_commit=source.base_commit,
        source=source.path,
        image=image,
        tests=given.ids,
        test_files=given.files,
        hidden=Hidden(tests=hidden_tests.resolve()) if hidden_tests else None,
        url=url,
        repo=name or source.origin,
    )


def _file_name(path: Path) -> str:
    """What a file's name says of the issue; of ``stale-cache/issue.md`` the folder says more."""
    return path.resolve().parent.name if path.stem.lower() in _SAY_NOTHING else path.stem


def task_for_row(
    row: dict[str, object],
    *,
    repo: str | None = None,
    ref: str | None = None,
    tests: Sequence[str] = (),
    hidden_tests: Path | None = None,
    image: str | None = None,
    workspace: Path,
    on_progress: Progress = lambda text: None,
) -> Task:
    """The task of a SWE-bench row. Of the row only the problem statement is for the agent's eyes.

    The repository is in the row's image, unless ``repo`` is given: then it is copied at the row's base
    commit. Errors as ``load_task``.
    """
    checked = check_row(row)
    instance, base = checked["instance_id"], checked["base_commit"]
    if ref is not None and ref != base:
        raise IntakeError(
            f"{instance} has a base commit, {base}: --ref {ref} is another", cure="leave --ref out"
        )
    if hidden_tests is not None:
        raise IntakeError(f"{instance} has its own hidden tests", cure="leave --hidden-tests out")
    source = _source(repo, instance, base, None, None, workspace, on_progress) if repo else None
    given = _tests(tests, source, repo, None, on_progress)
    return Task(
        instance_id=instance,
        problem_statement=checked["problem_statement"],
        base_commit=base,
        source=source.path if source else None,
        image=image or checked["image"],
        tests=given.ids,
        test_files=given.files,
        hidden=Hidden(row=checked),
        repo=checked["repo"],
    )


def _row_name(issue: str) -> tuple[str, str]:
    """Dataset and instance id of ``DATASET#INSTANCE_ID``; two empty strings for the other forms."""
    if issue == "-" or _is_web(issue) or Path(issue).expanduser().exists():
        return "", ""
    dataset, separator, instance = issue.rpartition("#")
    if not separator:
        return "", ""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", dataset) and instance.isdigit() and not Path(dataset).exists():
        raise IntakeError(
            f"{issue} names no dataset's instance",
            cure=f"did you mean https://github.com/{dataset}/issues/{instance}?",
        )
    if not dataset or not instance:
        raise IntakeError(
            f"expected DATASET#INSTANCE_ID, got {issue!r}", cure="e.g. verified#sympy__sympy-20590"
        )
    return dataset, instance


def _is_web(issue: str) -> bool:
    return bool(re.match(r"https?://|(www\.)?github\.com/", issue, re.IGNORECASE))


def _with_scheme(issue: str) -> str:
    return issue if re.match(r"https?://", issue, re.IGNORECASE) else f"https://{issue}"


def _written(issue: str, on_progress: Progress) -> str:
    """The text of a file or of standard input, as its reader would see it."""
    if issue == "-":
        shown, data = "standard input", sys.stdin.buffer.read()
    else:
        path = Path(issue).expanduser()
        shown = str(path)
        if path.is_dir():
            raise IntakeError(f"expected an issue, {shown} is a directory", cure=_FORMS)
        if not issue or not path.exists():
            raise IntakeError(f"expected an issue, there is no file {issue!r}", cure=_FORMS)
        if is_dataset(path.name):
            raise IntakeError(f"{shown} is a dataset", cure=f"name one of its instances: {shown}#INSTANCE_ID")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise IntakeError(
                f"{shown} cannot be read: {error.strerror}", cure="check its permissions"
            ) from error
    try:
        text, removed = visible(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise IntakeError(
            f"expected UTF-8 text, {shown} is not ({error})", cure="convert it to UTF-8"
        ) from error
    for kind, count in sorted(removed.items()):
        on_progress(f"left out of the issue: {kind} ({count})")
    if not text.strip():
        raise IntakeError(f"expected an issue, {shown} is empty", cure=_FORMS)
    return text.strip() + "\n"


def _source(
    where: str,
    name: str,
    ref: str | None,
    hidden: Path | None,
    token: Token | None,
    workspace: Path,
    on_progress: Progress,
) -> Source:
    return prepare(
        where, workspace=workspace, name=name, ref=ref, exclude=hidden, token=token, on_progress=on_progress
    )


def _tests(
    tests: Sequence[str], source: Source | None, where: str | None, hidden: Path | None, on_progress: Progress
) -> GivenTests:
    original = None if where is None or is_url(where) else Path(where).expanduser().resolve()
    try:
        given = given_tests(tests, copy=source.path if source else None, original=original, hidden=hidden)
    except BaseException:
        if source is not None:
            shutil.rmtree(source.path, ignore_errors=True)
        raise
    for path in given.files:
        on_progress(f"put into the repository: {path}")
    return given


def _slug(name: str) -> str:
    """``name`` as a folder's name."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "issue"
