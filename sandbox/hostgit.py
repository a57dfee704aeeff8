"""Git on the host, through GitPython: one command and what it printed, in no repository but the one named."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["GitMissing", "run_git"]

_STRIPPED = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)
"""What a git hook, say, sets for the commands that it starts: it would lead ours into another repository."""


class GitMissing(Exception):
    """There is no git on PATH."""


def run_git(
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    seconds: float = 3600.0,
) -> tuple[int, bytes, str]:
    """Run git. Returns its exit status, standard output and standard error; a failure is a status.

    It asks nothing and has no terminal. Raises ``GitMissing``, and ``NotADirectoryError`` for a ``cwd`` that
    is none (GitPython would run in the current one).
    """
    if cwd is not None and not cwd.is_dir():
        raise NotADirectoryError(str(cwd))
    try:
        from git import Git
        from git.exc import GitCommandNotFound
    except ImportError as error:  # GitPython looks for git when it is imported
        raise GitMissing(str(error)) from error
    present = [name for name in _STRIPPED if name in os.environ]
    command = [*(["env", *(part for name in present for part in ("-u", name))] if present else []), "git"]
    with tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        try:
            status, output, said = Git(cwd or Path.cwd()).execute(
                [*command, *arguments],
                istream=given,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=seconds,
                env={"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", **(environment or {})},
                start_new_session=True,  # no controlling terminal: ssh cannot ask there
            )
        except GitCommandNotFound as error:
            raise GitMissing(str(error)) from error
    return status, output, said
