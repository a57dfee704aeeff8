"""A Code World Model that is right: it traces by running what it is asked to trace, behind ``/completions``
and in chat. Tests make it wrong, cut or silent where they want it so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from agent.world.cwm import MARKER, context_of, render_cwm, stripped_of_tokens
from agent.world.flow import Program
from agent.world.simulators.native import TOKENS
from tests.agent.world.recording import record
from tests.openai_server import Reply, continuation, status, text

FRAME, END, RETURN = "<|frame_sep|>", "<|end_of_text|>", "<|return_sep|>"
Spoil = Callable[[int, str], str]
"""From the number of the request (1 is the first) and the right answer to the one that is given."""


def right(number: int, answer: str) -> str:
    """Leaves the answer as it is."""
    return answer


class CodeWorldModel:
    """A script for ``serve``. ``decode`` makes text of token ids; ``strip``: the server leaves special tokens
    out; ``refuses``: parameters that it answers with a 400."""

    def __init__(
        self,
        spoil: Spoil = right,
        *,
        decode: Callable[[Sequence[int]], str] | None = None,
        strip: bool = False,
        refuses: Sequence[str] = (),
    ) -> None:
        self.spoil, self.decode, self.strip, self.refuses = spoil, decode, strip, refuses
        self.answered = 0
        self.prompts: list[str] = []

    def __call__(self, request: dict[str, Any]) -> Reply:
        for name in self.refuses:
            if name in request:
                return status(400, f"Unrecognized request argument supplied: {name}")
        if "messages" in request:
            return self.chat(request["messages"][-1]["content"])
        prompt = request["prompt"]
        if isinstance(prompt, list):
            if self.decode is None:
                return status(400, "prompt must be a string")
            prompt = self.decode(prompt)
        self.prompts.append(prompt)
        source = prompt.split("<|trace_context_start|>")[1].split(FRAME)[0]
        whole = self.trace(source)
        begun = prompt[len("<|begin_of_text|><|trace_context_start|>") + len(source) :]
        if begun.endswith(RETURN):  # single step
            answer = whole.rstrip(FRAME).rpartition(RETURN)[2] + FRAME
        else:
            frames = begun.count(FRAME) - 1
            parts = whole.split(FRAME)[1 + frames : -1]
            stops = request.get("stop") or []
            answer = parts[0] if FRAME in stops and parts else "".join(p + FRAME for p in parts)
        self.answered += 1
        answer = self.spoil(self.answered, answer)
        cut = answer.endswith("[cut]")
        answer = answer.removesuffix("[cut]")
        shown = stripped_of_tokens(answer) if self.strip else answer
        return continuation(shown, finish_reason="length" if cut else "stop")

    def chat(self, prompt: str) -> Reply:
        """The chat form: the whole trace, and the answer after it."""
        self.prompts.append(prompt)
        source = prompt.rsplit("The source:\n\n", 1)[1].split("\n\nThe trace begins with")[0] + "\n"
        trace = self.trace(source)
        self.answered += 1
        answer = self.spoil(self.answered, trace + "\n\n[ANSWER]\n7\n[/ANSWER]\n")
        return text(stripped_of_tokens(answer) if self.strip else answer)

    @staticmethod
    @cache
    def trace(source: str) -> str:
        """What really happens, in the native format, the entry's mark left out."""
        marked = source if MARKER in source else context_of(source)
        program = Program(marked, "traced.py")
        (entry,) = [u.qualname for u in program.units if MARKER in program.text(u.first)]
        written = render_cwm(record(marked, "traced.py", entry), program)
        return written.replace(f" {MARKER}\n", "\n")


def decoder(pieces: list[str]) -> tuple[Callable[[str], list[int]], Callable[[Sequence[int]], str]]:
    """A tokenizer of single characters, and its inverse, with the special tokens by their numbers."""
    special = {number: token for token, number in TOKENS.items()}

    def encode(written: str) -> list[int]:
        pieces.append(written)
        return [ord(character) for character in written]

    def decode(ids: Sequence[int]) -> str:
        return "".join(special.get(number) or chr(number) for number in ids)

    return encode, decode
