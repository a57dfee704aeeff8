"""Any OpenAI-compatible chat endpoint, with one layer of retries, and every answer counted."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from agent.errors import ContextTooLong, ModelError, UsageError
from agent.llm import Completion, EventHandler, Message, ModelEvent, ToolCall, Usage
from agent.llm.budget import Budget
from agent.llm.context import cut, estimate_tokens, size
from agent.llm.failures import Failure, failure, status_failure
from agent.llm.settings import PLACEHOLDER_KEY, ModelSettings

_CUTS = 4
"""How often one over-long request is cut, each time to 60 %: down to an eighth."""
_CUT_TO = 0.6
_UNREACHED_TRIES = 3
"""Tries at an endpoint that has never answered: a wrong URL should not take minutes to say so."""


class ChatModel:
    """A ``Model``. Thread-safe; what it learns of an endpoint (parameters, length) it keeps.

    ``on_event`` is told of retries, cuts and fall-backs as they happen. Raises ``MissingKey`` and
    ``UsageError`` (no model named) when built.
    """

    def __init__(
        self,
        settings: ModelSettings,
        budget: Budget | None = None,
        *,
        on_event: EventHandler | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        import openai

        if not settings.model:
            raise UsageError("no model is named", cure="give --model NAME or set FIXBUG_MODEL")
        self.name: str = settings.model
        self.settings = settings
        self.budget = budget or Budget()
        self._key = settings.key()
        self._on_event = on_event or (lambda event: None)
        self._sleep = sleep
        self._client = openai.OpenAI(api_key=self._key, base_url=settings.base_url, max_retries=0)
        self._lock = threading.Lock()
        self._refused: set[str] = set()
        self._longest: int | None = None
        self._answered = False

    def complete(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[dict[str, Any]] | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        json_schema: dict[str, Any] | None = None,
    ) -> Completion:
        """See ``agent.llm.Model``. Raises ``ModelError``, ``ContextTooLong`` or ``BudgetExhausted``."""
        started = time.monotonic()
        whole = [_encodable(message) for message in messages]
        asked = {"temperature": temperature, "max_tokens": max_tokens, "response_format": json_schema}
        sending, notes = whole, dict[str, str]()
        cuts = 0
        if self._longest is not None and size(whole) > self._longest:
            sending = self._cut(whole, self._longest, notes) or whole
        while True:
            request = self._request(sending, asked, tools, notes)
            try:
                answer = self._ask(request)
                break
            except ContextTooLong:
                cuts += 1
                self._longest = int(size(sending) * _CUT_TO)
                shorter = self._cut(whole, self._longest, notes) if cuts <= _CUTS else None
                if shorter is None or size(shorter) >= size(sending):
                    raise
                sending = shorter
            except _RefusedError as refused:
                self._refuse(refused)
        return _completion(answer, request, time.monotonic() - started, notes, self.settings)

    def close(self) -> None:
        self._client.close()

    def _request(
        self,
        messages: list[Message],
        asked: dict[str, Any],
        tools: Sequence[dict[str, Any]] | None,
        notes: dict[str, str],
    ) -> dict[str, Any]:
        """The request's parameters, without those that this endpoint has refused."""
        request: dict[str, Any] = {"model": self.name, "messages": messages}
        if tools:
            request["tools"] = list(tools)
        if asked["temperature"] is not None and "temperature" not in self._refused:
            request["temperature"] = asked["temperature"]
        if asked["max_tokens"] is not None:
            for name in ("max_tokens", "max_completion_tokens"):
                if name not in self._refused:
                    request[name] = asked["max_tokens"]
                    break
        schema = asked["response_format"]
        if schema is not None and "response_format" not in self._refused:
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema, "strict": True},
            }
        elif schema is not None:
            request["messages"] = _with_schema(messages, schema)
        refused = sorted(name for name in self._refused if asked.get(name) is not None)
        if refused:
            notes["refused"] = f"the endpoint does not take {', '.join(refused)}"
        return request

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        retrying = Retrying(
            sleep=self._sleep,
            retry=retry_if_exception(lambda error: isinstance(error, _FailedError) and error.failure.retry),
            wait=self._wait,
            stop=self._stop,
            before_sleep=self._say_retry,
            reraise=True,
        )
        try:
            return retrying(self._once, request)
        except _FailedError as failed:
            raise failed.failure.error from None

    def _once(self, request: dict[str, Any]) -> dict[str, Any]:
        import httpx2
        import openai

        self.budget.check()
        left = self.budget.seconds_left
        limit = self.settings.timeout if left is None else min(self.settings.timeout, max(left, 0.001))
        create: Any = self._client.chat.completions.create
        try:
            answer = create(**request, timeout=httpx2.Timeout(limit, connect=min(limit, 10.0)))
        except (openai.OpenAIError, ValueError) as error:
            if isinstance(error, openai.APITimeoutError):
                self.budget.check()  # the limit was what the attempt had left
            raise self._failed(failure(error, request, self.settings, self._scrub)) from None
        return self._counted(answer, request)

    def _counted(self, answer: Any, request: dict[str, Any]) -> dict[str, Any]:
        """The answer's body, charged whatever is in it. Raises if it is no completion.

        The SDK validates nothing: a body that is no JSON comes as text, and any field may be missing.
        """
        if not hasattr(answer, "model_dump"):
            raise self._failed(failure(ValueError(str(answer)), request, self.settings, self._scrub))
        body: dict[str, Any] = answer.model_dump(warnings=False)
        message = _message(body)
        if message or body.get("usage"):
            self._answered = True
            usage, estimated = _usage(body, request)
            self.budget.charge(usage, _cost(body, usage, self.settings), estimated=estimated)
            if self.budget.price_unknown():
                text = (
                    "this model's price is unknown, so the money budget is not enforced: set FIXBUG_PRICE_*"
                )
                self._on_event(ModelEvent("price", text))
        if message:
            return body
        error = body.get("error")
        if isinstance(error, dict):  # an error of the model behind a router, with status 200
            code = str(error.get("code", ""))
            raise self._failed(
                status_failure(
                    int(code) if code.isdecimal() else 500,
                    code,
                    str(error.get("message", error)),
                    sent=request,
                    headers={},
                    settings=self.settings,
                    scrub=self._scrub,
                )
            )
        problem = f"{self.settings.endpoint} answered without a choice"
        raise _FailedError(Failure(ModelError(problem, cure="check --base-url and --model"), retry=True))

    def _failed(self, what: Failure) -> Exception:
        if isinstance(what.error, ContextTooLong):
            return what.error
        if what.parameter:
            return _RefusedError(what.parameter)
        return _FailedError(what)

    def _refuse(self, refused: _RefusedError) -> None:
        with self._lock:
            self._refused.add(refused.parameter)
        self._on_event(
            ModelEvent("fallback", f"{self.name} does not take {refused.parameter}: going on without it")
        )

    def _cut(self, whole: list[Message], limit: int, notes: dict[str, str]) -> list[Message] | None:
        shorter = cut(whole, limit)
        if shorter is None:
            return None
        messages, notes["cut"] = shorter
        self._on_event(ModelEvent("cut", notes["cut"]))
        return messages

    def _wait(self, state: RetryCallState) -> float:
        what = _failure_of(state)
        if what.after is not None:
            return what.after + random.uniform(0, min(1.0, what.after / 10))
        return wait_random_exponential(multiplier=1, max=60, min=0.5)(state)

    def _stop(self, state: RetryCallState) -> bool:
        what, settings = _failure_of(state), self.settings
        tries = settings.max_retries + 1
        if what.unreached and not self._answered:
            tries = min(tries, _UNREACHED_TRIES)
        left = self.budget.seconds_left
        return (
            state.attempt_number >= tries
            or (what.after or 0.0) > settings.max_retry_after
            or (state.seconds_since_start or 0.0) + state.upcoming_sleep > settings.retry_seconds
            or (left is not None and state.upcoming_sleep >= left)
        )

    def _say_retry(self, state: RetryCallState) -> None:
        wait = state.upcoming_sleep
        text = f"{_failure_of(state).error.problem}; try {state.attempt_number + 1} in {wait:.0f} s"
        self._on_event(ModelEvent("retry", text, wait))

    def _scrub(self, text: str) -> str:
        return text if self._key == PLACEHOLDER_KEY else text.replace(self._key, "[key]")


class _FailedError(Exception):
    def __init__(self, what: Failure) -> None:
        super().__init__(what.error.problem)
        self.failure = what


class _RefusedError(Exception):
    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


def _failure_of(state: RetryCallState) -> Failure:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _FailedError)
    return error.failure


def _completion(
    body: dict[str, Any],
    request: dict[str, Any],
    seconds: float,
    notes: dict[str, str],
    settings: ModelSettings,
) -> Completion:
    message = _message(body)
    usage, estimated = _usage(body, request)
    if estimated:
        notes["usage"] = "token counts are estimated: the endpoint reported none"
    return Completion(
        text=_text(message.get("content")) or _text(message.get("refusal")),
        tool_calls=_tool_calls(message),
        usage=usage,
        cost_usd=_cost(body, usage, settings),
        finish_reason=body["choices"][0].get("finish_reason") or "",
        model=body.get("model") or settings.model or "",
        seconds=seconds,
        notes=tuple(notes.values()),
    )


def _message(body: dict[str, Any]) -> dict[str, Any]:
    """The first choice's message; empty where there is none."""
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return message if isinstance(message, dict) else {}


def _tool_calls(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    """Calls with unique ids: some servers leave ids out or repeat them."""
    calls: list[ToolCall] = []
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        arguments = function.get("arguments") or ""
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        seen = {known.id for known in calls}
        given = call.get("id")
        name = given if isinstance(given, str) and given and given not in seen else f"call_{len(calls) + 1}"
        calls.append(ToolCall(name, _clean(str(function.get("name") or "")), _clean(raw)))
    return tuple(calls)


def _usage(body: dict[str, Any], request: dict[str, Any]) -> tuple[Usage, bool]:
    """Tokens as reported, or estimated from lengths (then True)."""
    reported = body.get("usage") or {}
    prompt, written = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
    if prompt or written:
        cached = _count(reported.get("prompt_tokens_details") or {}, "cached_tokens")
        return Usage(prompt, written, min(cached, prompt)), False
    message = _message(body)
    characters = len(_text(message.get("content"))) + sum(len(c.arguments) for c in _tool_calls(message))
    return Usage(estimate_tokens(size(request["messages"])), estimate_tokens(characters)), True


def _count(counts: dict[str, Any], name: str) -> int:
    value = counts.get(name)
    return max(value, 0) if isinstance(value, int) else 0


def _cost(body: dict[str, Any], usage: Usage, settings: ModelSettings) -> float | None:
    """US dollars: as reported (OpenRouter's ``usage.cost``), else by the configured prices, else None."""
    reported = (body.get("usage") or {}).get("cost")
    if isinstance(reported, int | float):
        return float(reported)
    if settings.price_input is None or settings.price_output is None:
        return None
    cached_price = settings.price_input if settings.price_cached is None else settings.price_cached
    return (
        (usage.prompt_tokens - usage.cached_tokens) * settings.price_input
        + usage.cached_tokens * cached_price
        + usage.completion_tokens * settings.price_output
    ) / 1e6


def _with_schema(messages: list[Message], schema: dict[str, Any]) -> list[Message]:
    ask = f"Answer with one JSON value after this JSON Schema, and nothing else:\n{json.dumps(schema)}"
    last = messages[-1] if messages else {}
    if last.get("role") == "user" and isinstance(last.get("content"), str):
        return [*messages[:-1], {**last, "content": f"{last['content']}\n\n{ask}"}]
    return [*messages, {"role": "user", "content": ask}]


def _text(content: Any) -> str:
    """A message's text; some servers answer with a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    return _clean(content) if isinstance(content, str) else ""


def _encodable(message: Message) -> Message:
    content = message.get("content")
    return {**message, "content": _clean(content)} if isinstance(content, str) else message


def _clean(text: str) -> str:
    """Without lone surrogates, which neither UTF-8 nor an endpoint takes."""
    return text.encode("utf-8", "replace").decode()
