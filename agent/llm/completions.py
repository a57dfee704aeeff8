"""Any OpenAI-compatible completions endpoint: a text, or token ids, that the model goes on from.

What is not in OpenAI's own protocol (the stop tokens, and whether special tokens are shown) goes in the
body under the names that vLLM gave it; a server that refuses one gets the request without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from agent.llm import Completion, EventHandler
from agent.llm.budget import Budget
from agent.llm.endpoint import Body, Endpoint, RefusedError, Route, clean
from agent.llm.settings import ModelSettings

CHARACTERS_A_PROMPT_TOKEN = 4


class TextModel(Protocol):
    """Anything that goes on with a text."""

    @property
    def name(self) -> str: ...

    def go_on(
        self,
        prompt: str,
        *,
        ids: Sequence[int] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        stop_ids: Sequence[int] = (),
    ) -> Completion:
        """What follows ``prompt``. ``ids``: the same as token ids, sent instead where the server takes them.

        Raises ``ModelError`` (and below) and ``BudgetExhausted``.
        """
        ...


class CompletionsModel:
    """A ``TextModel``. Thread-safe; what it learns of an endpoint it keeps. Raises as ``ChatModel`` does."""

    def __init__(
        self,
        settings: ModelSettings,
        budget: Budget | None = None,
        *,
        on_event: EventHandler | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = Endpoint(settings, budget, on_event=on_event, sleep=sleep)
        self.name: str = self.endpoint.model
        self._route = Route(self.endpoint.client.completions.create, lambda b: _text(b) is not None, _length)

    def go_on(
        self,
        prompt: str,
        *,
        ids: Sequence[int] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        stop_ids: Sequence[int] = (),
    ) -> Completion:
        """See ``TextModel``. Raises ``ModelError``, ``ContextTooLong`` or ``BudgetExhausted``."""
        started = time.monotonic()
        extra = {"skip_special_tokens": False, "stop_token_ids": list(stop_ids), "add_special_tokens": False}
        asked = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "stop": list(stop)}
        while True:
            refused = self.endpoint.refused
            as_ids = ids is not None and "prompt_token_ids" not in refused
            request: dict[str, Any] = {
                "model": self.name,
                "prompt": list(ids) if as_ids and ids is not None else clean(prompt),
                **{k: v for k, v in asked.items() if v not in (None, []) and k not in refused},
                "extra_body": {k: v for k, v in extra.items() if v != [] and k not in refused},
            }
            if as_ids:
                request["extra_body"].pop("add_special_tokens", None)
            try:
                body = self.endpoint.ask(self._route, request)
                break
            except RefusedError as error:
                self.endpoint.refuse(error)
        usage, estimated = self.endpoint.usage(self._route, body, request)
        left_out = sorted(refused & {*asked, *extra, "prompt_token_ids"})
        notes = [f"the endpoint does not take {', '.join(left_out)}"] if left_out else []
        if estimated:
            notes.append("token counts are estimated: the endpoint reported none")
        choice = body["choices"][0]
        return Completion(
            text=clean(_text(body) or ""),
            usage=usage,
            cost_usd=self.endpoint.cost(body, usage),
            finish_reason=choice.get("finish_reason") or "",
            model=body.get("model") or self.name,
            seconds=time.monotonic() - started,
            notes=tuple(notes),
        )

    def close(self) -> None:
        """Close its connections."""
        self.endpoint.close()


def _text(body: Body) -> str | None:
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    text = first.get("text") if isinstance(first, dict) else None
    return text if isinstance(text, str) else None


def _length(body: Body, request: Mapping[str, Any]) -> tuple[int, int]:
    prompt = request["prompt"]
    asked = len(prompt) if isinstance(prompt, str) else len(prompt) * CHARACTERS_A_PROMPT_TOKEN
    return asked, len(_text(body) or "")
