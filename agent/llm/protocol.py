"""The two ways in which a model says what to do: tool calls, or one fenced bash block a turn.

A loop uses either like this::

    steps = Steps(budget)
    steps.check()
    completion = model.complete(messages, tools=protocol.tools)
    try:
        actions = protocol.parse(completion)
    except FormatError as error:
        steps.malformed()
        messages += protocol.correction(completion, error)
    else:
        steps.count()
        messages += protocol.observe(completion, [do(action) for action in actions])
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from agent.actions import Action, Bash, Edit, Propose
from agent.errors import ModelError
from agent.llm import Completion, Message, ToolCall
from agent.llm.budget import Budget


class FormatError(ModelError):
    """The answer holds no action that can be done. The text is for the model."""


class ActionProtocol(Protocol):
    """``parse`` gives the actions in order, at least one, or raises ``FormatError``.

    ``observe`` gives the messages to append: the answer itself, then what came of its actions, in
    the same order (those that have no observation were not run, and the model is told so).
    ``correction`` gives the messages to append after a ``FormatError``: nothing was run.
    """

    @property
    def name(self) -> str: ...

    @property
    def tools(self) -> Sequence[dict[str, Any]] | None:
        """What to pass to ``Model.complete``."""
        ...

    def parse(self, completion: Completion) -> list[Action]: ...

    def observe(self, completion: Completion, observations: Sequence[str]) -> list[Message]: ...

    def correction(self, completion: Completion, error: FormatError) -> list[Message]: ...


def protocol_for(name: Literal["tools", "text"]) -> ActionProtocol:
    """The protocol of that name (``ModelSettings.protocol``, ``Session.protocol``)."""
    return TextProtocol() if name == "text" else ToolCallProtocol()


class Steps:
    """Counts turns against a budget: the first malformed answer in a row is free, the next are steps."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._malformed = 0

    def check(self) -> None:
        """Before a turn. Raises ``BudgetExhausted``."""
        self._budget.check(step=True)

    def count(self) -> None:
        self._malformed = 0
        self._budget.step()

    def malformed(self) -> None:
        self._malformed += 1
        if self._malformed > 1:
            self._budget.step()


_NOT_RUN = "This was not run: the turn ended before it."


class TextProtocol:
    """mini-swe-agent's protocol: exactly one fenced ``bash`` block an answer.

    The fence may also be called ``sh`` or ``mswea_bash_command``. A command submits by printing
    ``agent.actions.SENTINEL`` first (``agent.actions.submission`` tells).
    """

    name = "text"
    tools = None

    def parse(self, completion: Completion) -> list[Action]:
        text = _without_thinking(completion.text)
        blocks = list(_BLOCK.finditer(text))
        if len(blocks) != 1:
            raise _format_error(completion, f"found {len(blocks)} bash blocks, expected exactly one.")
        if "```" in text[blocks[0].end() :]:
            raise _format_error(
                completion,
                "there is another ``` after the bash block, so its end is not clear. If the command itself "
                "holds a line of ```, write that line another way (with printf, say).",
            )
        return [Bash(_runnable(completion, blocks[0].group(1)))]

    def observe(self, completion: Completion, observations: Sequence[str]) -> list[Message]:
        return _as_text(completion, "\n\n".join(observations) or _NOT_RUN)

    def correction(self, completion: Completion, error: FormatError) -> list[Message]:
        return _as_text(
            completion,
            f"{error.problem}\nNothing was run. Give your reasoning, then exactly one block:\n\n"
            "```bash\n<one command, or several joined by && or ||>\n```",
        )


class ToolCallProtocol:
    """OpenAI's tool calls. One answer may hold several, done in order; if one is malformed none is run.

    A server that does not know its model's own format leaves calls in the text, written
    ``<tool_call>{"name": …, "arguments": …}</tool_call>`` (Hermes, Qwen): these are taken too, and answered
    in text.
    """

    name = "tools"

    @property
    def tools(self) -> Sequence[dict[str, Any]]:
        return TOOLS

    def parse(self, completion: Completion) -> list[Action]:
        calls = _calls(completion)
        if not calls:
            raise _format_error(
                completion,
                "there is no tool call in your answer. Every answer must call one of the tools "
                f"{', '.join(_READERS)}, through the tool interface and not as text.",
            )
        actions: list[Action] = []
        problems: list[str] = []
        for call in calls:
            try:
                actions.append(_action(call))
            except ValueError as error:
                problems.append(f"{call.name or '(no name)'}: {error}")
        if problems:
            raise _format_error(completion, " ".join(problems))
        return actions

    def observe(self, completion: Completion, observations: Sequence[str]) -> list[Message]:
        if not completion.tool_calls:
            return _as_text(completion, "\n\n".join(observations) or _NOT_RUN)
        texts = [*observations, *([_NOT_RUN] * (len(completion.tool_calls) - len(observations)))]
        return [
            _with_calls(completion),
            *(
                {"role": "tool", "tool_call_id": call.id, "content": text}
                for call, text in zip(completion.tool_calls, texts, strict=True)
            ),
        ]

    def correction(self, completion: Completion, error: FormatError) -> list[Message]:
        text = f"{error.problem}\nNothing was run. Correct the call and make it again."
        # Servers parse the calls in a conversation: one with broken JSON would be refused from now on.
        if completion.tool_calls and all(_is_object(call.arguments) for call in completion.tool_calls):
            return self.observe(completion, [text] * len(completion.tool_calls))
        return _as_text(completion, text)


def _format_error(completion: Completion, problem: str) -> FormatError:
    if completion.finish_reason == "length":
        problem += " Your answer was cut at the length limit: make it shorter."
    return FormatError(f"Your answer could not be used: {problem}")


# mini-swe-agent's own expression but for the names, so that its sessions replay turn by turn
# (agents/default.py and models/litellm_textbased_model.py there).
_BLOCK = re.compile(r"```(?:bash|sh|mswea_bash_command)\s*\n(.*?)\n```", re.DOTALL)
_TEXT_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def _without_thinking(text: str) -> str:
    """Without the reasoning that some servers leave in front, its opening tag often missing."""
    head, closed, rest = text.partition("</think>")
    before, opened, _ = head.partition("<think>")
    in_front = not before.strip() if opened else head.count("```") % 2 == 0
    return rest if closed and in_front else text


def _runnable(completion: Completion, command: str) -> str:
    command = command.strip()
    if not command or "\0" in command:
        raise _format_error(completion, "the bash block holds no command that can be run.")
    return command


def _as_text(completion: Completion, reply: str) -> list[Message]:
    """An answer and the reply to it without tool messages; a call is shown as the text it is."""
    said = [completion.text] if completion.text else []
    said += [f"[tool call] {call.name}({call.arguments})" for call in completion.tool_calls]
    return [
        {"role": "assistant", "content": "\n".join(said) or "(empty answer)"},
        {"role": "user", "content": reply},
    ]


def _with_calls(completion: Completion) -> Message:
    return {
        "role": "assistant",
        "content": completion.text or None,
        "tool_calls": [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in completion.tool_calls
        ],
    }


def _calls(completion: Completion) -> list[ToolCall]:
    if completion.tool_calls:
        return list(completion.tool_calls)
    calls = []
    for number, match in enumerate(_TEXT_CALL.finditer(_without_thinking(completion.text)), 1):
        written = _loaded(match.group(1))
        if not isinstance(written, dict):
            calls.append(ToolCall(f"text_{number}", "", match.group(1)))
            continue
        arguments = written.get("arguments", {})
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        calls.append(ToolCall(f"text_{number}", str(written.get("name", "")), raw))
    return calls


def _action(call: ToolCall) -> Action:
    """Raises ``ValueError`` with what is wrong, for the model."""
    read = _READERS.get(call.name)
    if read is None:
        raise ValueError(f"there is no such tool; the tools are {', '.join(_READERS)}.")
    try:
        arguments = json.loads(call.arguments) if call.arguments.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its arguments are not valid JSON ({error}).") from None
    if not isinstance(arguments, dict):
        raise ValueError(f"its arguments must be a JSON object, not {type(arguments).__name__}.")
    return read(arguments)


def _string(
    arguments: Mapping[str, Any], name: str, *, default: str | None = None, empty: bool = True
) -> str:
    value = arguments.get(name)
    if value is None and default is not None:
        return default
    if value is None:
        raise ValueError(f"the argument {name!r} is missing.")
    if not isinstance(value, str):
        raise ValueError(f"the argument {name!r} must be a string, not {type(value).__name__}.")
    if not empty and not value.strip():
        raise ValueError(f"the argument {name!r} is empty.")
    if "\0" in value or re.search("[\ud800-\udfff]", value):
        raise ValueError(f"the argument {name!r} holds a character that no file or command can hold.")
    return value


def _bash(arguments: Mapping[str, Any]) -> Bash:
    timeout = arguments.get("timeout")
    try:
        seconds = None if timeout is None or isinstance(timeout, bool) else float(timeout)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("the argument 'timeout' must be a number of seconds.") from None
    if seconds is not None and not 0 < seconds < 1e6:
        raise ValueError("the argument 'timeout' must be a number of seconds above 0.")
    return Bash(_string(arguments, "command", empty=False), seconds)


def _edit(arguments: Mapping[str, Any]) -> Edit:
    return Edit(_string(arguments, "path", empty=False), _string(arguments, "old"), _string(arguments, "new"))


def _propose(arguments: Mapping[str, Any]) -> Propose:
    return Propose(
        _string(arguments, "test", default="").strip() or None, _string(arguments, "note", default="")
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Action]] = {
    "bash": _bash,
    "edit": _edit,
    "propose": _propose,
}


def _loaded(raw: str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _is_object(raw: str) -> bool:
    return isinstance(_loaded(raw), dict)


def _tool(
    name: str, description: str, required: Sequence[str], **properties: tuple[str, str]
) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {
                    key: {"type": kind, "description": text} for key, (kind, text) in properties.items()
                },
                "required": list(required),
                "additionalProperties": False,
            },
        },
    }


TOOLS = (
    _tool(
        "bash",
        "Run a command in a fresh bash in the repository. Only files carry over from one call to the next.",
        ["command"],
        command=("string", "The command."),
        timeout=("number", "Time limit in seconds."),
    ),
    _tool(
        "edit",
        "Replace a text that occurs exactly once in a file. An empty `old` creates a new file.",
        ["path", "old", "new"],
        path=("string", "Path relative to the repository."),
        old=("string", "The text as it stands in the file, white space included."),
        new=("string", "The text to put in its place."),
    ),
    _tool(
        "propose",
        "Put the repository as it is now forward as the fix. It is simulated, then run, and you are told "
        "what was found.",
        [],
        test=("string", "pytest node id of a test that shows the bug."),
        note=("string", "What was wrong and what the change does, in a sentence or two."),
    ),
)
