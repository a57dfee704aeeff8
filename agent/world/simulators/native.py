"""Asking a Code World Model for a trace: in its own token format, or in its chat form.

Three ways of the native format (source: PROMPTING_GUIDE.md of facebookresearch/cwm, and its published
clients), each seeded with the call frame of the entry function, whose arguments a model would invent::

    full    <|begin_of_text|><|trace_context_start|>$SOURCE
            <|frame_sep|><|call_sep|>{}<|action_sep|>def main():
            <|frame_sep|> and on, until <|end_of_text|>
    steps   the same, one frame a request, until <|frame_sep|>
    single  the same with <|return_sep|> behind it: only what the entry function returns
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from agent.errors import UsageError
from agent.llm import Completion, Model
from agent.llm.completions import TextModel
from agent.world.checking.check import Checked, check
from agent.world.checking.mend import mended
from agent.world.cwm import MARKER, Reading, read_cwm, render_cwm, stripped_of_tokens
from agent.world.flow import Program
from agent.world.trace import Frame, Trace
from prompts import render

TOKENS = {
    "<|begin_of_text|>": 128000,
    "<|end_of_text|>": 128001,
    "<|frame_sep|>": 128100,
    "<|action_sep|>": 128101,
    "<|return_sep|>": 128102,
    "<|call_sep|>": 128103,
    "<|line_sep|>": 128104,
    "<|exception_sep|>": 128105,
    "<|arg_sep|>": 128106,
    "<|trace_context_start|>": 128107,
}
"""The special tokens of traces, and their ids."""
_BEGIN, _END, _FRAME, _RETURN, _ACTION, _ARG, _CONTEXT = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|frame_sep|>", "<|return_sep|>", "<|action_sep|>",
    "<|arg_sep|>", "<|trace_context_start|>",
)  # fmt: skip
_SPECIAL = re.compile("(" + "|".join(re.escape(token) for token in TOKENS) + ")")

Way = Literal["full", "steps", "single"]

MAX_AGAIN = 2
"""How often a trace is asked for again where checking contradicts it; step by step, each frame."""
MAX_STEPS = 400
STEP_TOKENS = 1024


@dataclass(frozen=True)
class Told:
    """A trace as it was told and checked. ``value``: what the entry function returns, where only that was
    asked for."""

    reading: Reading
    checked: Checked
    raw: str
    resampled: int = 0
    repaired: int = 0
    value: str | None = None


class Teller(Protocol):
    """Anything that tells the trace of a program's entry function. Raises ``ModelError`` (and below) and
    ``BudgetExhausted``; ``UsageError`` for a source that cannot be put to it."""

    @property
    def label(self) -> str: ...

    def tell(self, program: Program, source: str) -> Told: ...


def seed(program: Program) -> Frame:
    """The call frame of the entry function. Raises ``UsageError`` where none is marked."""
    found = [u for u in program.units if MARKER in program.text(u.first) and u.first < u.last]
    if not found:
        raise UsageError(f"no function is marked with `{MARKER}`", cure="mark the one to trace")
    return Frame("call", found[-1].qualname, program.path, found[-1].first)


def native_prompt(source: str, frames: Sequence[Frame], program: Program) -> str:
    """Everything before what a model is to write. Raises ``UsageError`` for a source that holds a token's
    text, which would be taken for one."""
    if _SPECIAL.search(source):
        raise UsageError(
            f"the source holds {_SPECIAL.findall(source)[0]}, which this model takes for a token of its own",
            cure="ask a chat model: --format chat, or --world-model chat",
        )
    return f"{_BEGIN}{_CONTEXT}{source.rstrip()}\n{told_so_far(frames, program)}"


def told_so_far(frames: Sequence[Frame], program: Program) -> str:
    """Frames in the native form; the mark of the entry is no part of its line there."""
    return render_cwm(Trace(tuple(frames)), program).replace(f" {MARKER}\n", "\n")


def as_ids(prompt: str, encode: Callable[[str], list[int]]) -> list[int]:
    """A prompt as token ids: special tokens by their number, what is between them by the tokenizer."""
    ids: list[int] = []
    for part in _SPECIAL.split(prompt):
        if part in TOKENS:
            ids.append(TOKENS[part])
        elif part:
            ids += encode(part)
    return ids


@dataclass(frozen=True)
class NativeTeller:
    """A Code World Model behind a completions endpoint."""

    model: TextModel
    way: Way = "full"
    encode: Callable[[str], list[int]] | None = None
    """The tokenizer; without one the prompt goes as text."""
    repair: bool = False
    temperature: float = 0.3
    top_p: float = 0.95
    max_tokens: int = 8192

    @property
    def label(self) -> str:
        """``cwm:<model>``, ``cwm-steps:<model>`` or ``cwm-single:<model>``."""
        return f"{'cwm' if self.way == 'full' else f'cwm-{self.way}'}:{self.model.name}"

    def tell(self, program: Program, source: str) -> Told:
        """See ``Teller``."""
        if self.way == "single":
            return self._single(program, source)
        if self.way == "steps":
            return self._steps(program, source)
        return ask_until_consistent(
            lambda given: self._rest(program, source, given), program, [seed(program)], repair=self.repair
        )

    def _go_on(self, prompt: str, limit: int, *, one_frame: bool = False) -> Completion:
        stops = [_FRAME, _END] if one_frame else [_END]
        return self.model.go_on(
            prompt,
            ids=as_ids(prompt, self.encode) if self.encode else None,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=limit,
            stop=stops,
            stop_ids=[TOKENS[token] for token in stops],
        )

    def _rest(self, program: Program, source: str, given: Sequence[Frame]) -> tuple[Reading, str]:
        prompt = native_prompt(source, given, program)
        said = self._go_on(prompt, self.max_tokens)
        text = said.text.split(_END)[0]
        before = told_so_far(given, program)
        if _ACTION not in text:  # the server leaves special tokens out
            before = stripped_of_tokens(before)
        return read_cwm(before + text, program, ended=said.finish_reason == "stop"), said.text

    def _steps(self, program: Program, source: str) -> Told:
        frames: list[Frame] = [seed(program)]
        raws: list[str] = []
        resampled = repaired = again = 0
        reading, checked = Reading(Trace(()), False), Checked((), "unknown")
        while len(raws) < MAX_STEPS:
            said = self._go_on(native_prompt(source, frames, program), STEP_TOKENS, one_frame=True)
            raws.append(said.text)
            text = said.text.split(_END)[0].split(_FRAME)[0]
            if not text.strip() or said.finish_reason == "length":
                break
            before = told_so_far(frames, program)
            native = _ACTION in text
            whole = (
                before + text + _FRAME if native else stripped_of_tokens(before) + text.rstrip("\n") + "\n"
            )
            reading = read_cwm(whole, program, ended=True)
            if len(reading.trace.frames) <= len(frames):
                break
            checked = check(reading.trace, program, strange=reading.strange)
            if checked.findings and again < MAX_AGAIN:
                again += 1
                put_right = mended(reading.trace.frames, checked.findings)
                if self.repair and len(put_right) > len(frames):
                    frames, repaired = list(put_right), repaired + 1
                else:
                    frames, resampled = frames[: max(1, checked.findings[0].index)], resampled + 1
                reading = Reading(Trace(tuple(frames)), False)
                continue
            if checked.findings:
                break
            again = 0
            frames = list(reading.trace.frames)
            if reading.complete:
                break
        reading = Reading(*_closed(reading))
        checked = check(reading.trace, program, complete=reading.complete, strange=reading.strange)
        return Told(reading, checked, _FRAME.join(raws), resampled, repaired)

    def _single(self, program: Program, source: str) -> Told:
        frame = seed(program)
        prompt = native_prompt(source, [frame], program) + _RETURN
        said = self._go_on(prompt, self.max_tokens)
        value = _returned(said.text)
        cut = Checked((), "unknown")
        if value is None or said.finish_reason == "length":
            return Told(Reading(Trace((), {"cut": "no value was answered"}), False), cut, said.text)
        end = program.named(frame.function, frame.line)[0].last
        last = Frame("return", frame.function, program.path, end, value=value)
        reading = Reading(Trace((frame, last)), True)
        return Told(reading, Checked((), "consistent"), said.text, value=value)


def _closed(reading: Reading) -> tuple[Trace, bool, dict[int, str], tuple[str, ...]]:
    limits = {} if reading.complete else {"cut": "the prediction stops before the entry function returns"}
    return replace(reading.trace, limits=limits), reading.complete, dict(reading.strange), reading.forgiven


def _returned(text: str) -> str | None:
    """The value in ``<|action_sep|>source<|arg_sep|>"value"``, tokens or none."""
    text = text.split(_END)[0].split(_FRAME)[0]
    rest = text.partition(_ARG)[2] if _ARG in text else text[text.find('\n"') + 1 :] if '\n"' in text else ""
    try:
        value = json.JSONDecoder(strict=False).raw_decode(rest.strip())[0]
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def ask_until_consistent(
    ask: Callable[[Sequence[Frame]], tuple[Reading, str]],
    program: Program,
    given: Sequence[Frame],
    *,
    repair: bool,
) -> Told:
    """Ask for the rest of a trace that begins with ``given``, and where checking contradicts it ask again:
    from the beginning, or (``repair``) from the wrong frame, put right."""
    resampled = repaired = 0
    while True:
        reading, raw = ask(given)
        checked = check(reading.trace, program, complete=reading.complete, strange=reading.strange)
        if checked.verdict != "wrong" or resampled + repaired == MAX_AGAIN:
            return Told(reading, checked, raw, resampled, repaired)
        if repair:
            given, repaired = mended(reading.trace.frames, checked.findings), repaired + 1
        else:
            resampled += 1


@dataclass(frozen=True)
class ChatFormTeller:
    """A chat model that is asked for the trace in CWM's format, and for a last word: it shows the end."""

    model: Model
    repair: bool = False
    temperature: float = 0.3
    max_tokens: int = 8192

    @property
    def label(self) -> str:
        """``cwm-chat:<model>``."""
        return f"cwm-chat:{self.model.name}"

    def tell(self, program: Program, source: str) -> Told:
        """See ``Teller``."""
        return ask_until_consistent(
            lambda given: self._rest(program, source, given), program, [seed(program)], repair=self.repair
        )

    def _rest(self, program: Program, source: str, given: Sequence[Frame]) -> tuple[Reading, str]:
        before = told_so_far(given, program)
        prompt = render("simulate_cwm.md.j2", source=source.rstrip(), begun=before, marker=MARKER)
        said = self.model.complete(
            [{"role": "user", "content": prompt}], temperature=self.temperature, max_tokens=self.max_tokens
        )
        text = _trace_in(said.text)
        native = _ACTION in text
        reading = read_cwm(text, program, answer_expected=True)
        first = reading.trace.frames[0] if reading.trace.frames else None
        if first is None or first.event != "call" or first.function != given[0].function:
            # It went on from the beginning that it was given, as it may.
            whole = (before if native else stripped_of_tokens(before)) + text.lstrip("\n")
            reading = read_cwm(whole, program, answer_expected=True)
        if said.finish_reason == "length":
            reading = replace(reading, complete=False)
        return reading, said.text


def _trace_in(text: str) -> str:
    """A model's answer without what it thought before, and without the fences around the trace."""
    text = text.rpartition("</think>")[2]
    return re.sub(r"^```\w*[ \t]*\n?", "", text, flags=re.M)
