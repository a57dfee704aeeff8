"""What the model may do in one step, and the plain rules that go with it."""

from __future__ import annotations

from dataclasses import dataclass

SENTINEL = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""First line of the output of a bash command that submits (mini-swe-agent's convention)."""


@dataclass(frozen=True)
class Bash:
    """Run a command in the sandbox; ``timeout`` in seconds, None for the sandbox's own limit."""

    command: str
    timeout: float | None = None


@dataclass(frozen=True)
class Edit:
    """Replace ``old``, which must occur exactly once in the file, by ``new``.

    An empty ``old`` creates ``path``, which must not be there yet (or be empty).
    """

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Propose:
    """Put the work tree forward as the patch. ``test``: a pytest node id that reproduces the bug."""

    test: str | None = None
    note: str = ""


Action = Bash | Edit | Propose


class EditError(ValueError):
    """The edit cannot be made as written; the text is for the model."""


def edited(edit: Edit, current: str | None) -> str:
    """The file's new text. ``current`` is None where there is no such file. Raises ``EditError``."""
    if not edit.old:
        if current:
            raise EditError(f"{edit.path} exists already: give the text to replace in `old`.")
        return edit.new
    if current is None:
        raise EditError(f"There is no file {edit.path}. Paths are relative to the repository.")
    if edit.old == edit.new:
        raise EditError("`old` and `new` are the same text: nothing would change.")
    count = current.count(edit.old)
    if count == 1:
        return current.replace(edit.old, edit.new)
    if count == 0:
        raise EditError(
            f"`old` does not occur in {edit.path}. It must match exactly, white space included; "
            "read the lines again and copy them."
        )
    raise EditError(f"`old` occurs {count} times in {edit.path}. Add lines around it until it is unique.")


def submission(output: str) -> Propose | None:
    """The proposal that a bash command's output makes: the sentinel on its first line, else None.

    A second line ``TEST: <pytest node id>`` names a reproducing test. As in mini-swe-agent, blank
    lines before the sentinel do not matter, and what else follows (a diff) is kept as the note.
    """
    lines = output.lstrip().splitlines(keepends=True)
    if not lines or lines[0].strip() != SENTINEL:
        return None
    test = None
    if len(lines) > 1 and lines[1].startswith("TEST:"):
        test = lines[1].removeprefix("TEST:").strip() or None
        del lines[1]
    return Propose(test=test, note="".join(lines[1:]))


def shorten(text: str, head: int = 5000, tail: int = 5000) -> str:
    """The first ``head`` and last ``tail`` characters, with what was left out between them said."""
    dropped = len(text) - head - tail
    if dropped <= 0:
        return text
    mark = f"\n[{dropped} of {len(text)} characters left out]\n"
    return text[:head] + mark + (text[-tail:] if tail else "")
