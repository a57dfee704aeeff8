"""One OpenAI-compatible endpoint: a request sent with one layer of retries, its answer counted, and what it
refuses remembered."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from agent.errors import ContextTooLong, ModelError, UsageError
from agent.llm import EventHandler, ModelEvent, Usage
from agent.llm.budget import Budget
from agent.llm.connections import borrow, give_back
from agent.llm.context import estimate_tokens
from agent.llm.failures import Failure, failure, status_failure
from agent.llm.settings import PLACEHOLDER_KEY, ModelSettings

_UNREACHED_TRIES = 3
"""Tries at an endpoint that has never answered: a wrong URL should not take minutes to say so."""

Body = dict[str, Any]


class RefusedError(Exception):
    """The endpoint does not take an optional parameter: to be sent again without it."""

    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


@dataclass(frozen=True)
class Route:
    """A path of the endpoint, and how to read what it answers.

    ``send`` performs a request; ``answered`` says whether a body holds an answer; ``length`` gives the
    characters of request and answer, for endpoints that report no usage.
    """

    send: Callable[..., Any]
    answered: Callable[[Body], bool]
    length: Callable[[Body, Mapping[str, Any]], tuple[int, int]]


class Endpoint:
    """Thread-safe. ``on_event`` is told of retries and fall-backs as they happen.

    Raises ``MissingKey`` and ``UsageError`` (no model named) when built.
    """

    def __init__(
        self,
        settings: ModelSettings,
        budget: Budget | None = None,
        *,
        on_event: EventHandler | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not settings.model:
            raise UsageError("no model is named", cure="give --model NAME or set FIXBUG_MODEL")
        self.model: str = settings.model
        self.settings = settings
        self.budget = budget or Budget()
        self.refused: set[str] = set()
        self.on_event = on_event or (lambda event: None)
        self._key = settings.key()
        self._sleep = sleep
        self.client = borrow(settings.base_url, self._key)
        self._give_back = weakref.finalize(self, give_back, settings.base_url, self._key)
        self._lock = threading.Lock()
        self._answered = False

    def ask(self, route: Route, request: dict[str, Any]) -> Body:
        """The answer's body. Raises ``ModelError``, ``ContextTooLong``, ``BudgetExhausted`` or
        ``RefusedError``."""
        retrying = Retrying(
            sleep=self._sleep,
            retry=retry_if_exception(lambda error: isinstance(error, _FailedError) and error.failure.retry),
            wait=self._wait,
            stop=self._stop,
            before_sleep=self._say_retry,
            reraise=True,
        )
        try:
            return retrying(self._once, route, request)
        except _FailedError as failed:
            raise failed.failure.error from None

    def refuse(self, refused: RefusedError) -> None:
        """Remember that a parameter is not taken."""
        with self._lock:
            self.refused.add(refused.parameter)
        text = f"{self.model} does not take {refused.parameter}: going on without it"
        self.on_event(ModelEvent("fallback", text))

    def usage(self, route: Route, body: Body, request: Mapping[str, Any]) -> tuple[Usage, bool]:
        """Tokens as reported, or estimated from lengths (then True)."""
        reported = body.get("usage") or {}
        prompt, written = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
        if prompt or written:
            cached = _count(reported.get("prompt_tokens_details") or {}, "cached_tokens")
            return Usage(prompt, written, min(cached, prompt)), False
        asked, said = route.length(body, request)
        return Usage(estimate_tokens(asked), estimate_tokens(said)), True

    def cost(self, body: Body, usage: Usage) -> float | None:
        """US dollars: as reported (OpenRouter's ``usage.cost``), else by the configured prices, else None."""
        settings = self.settings
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

    def close(self) -> None:
        """Give its connections back; the last one that uses them closes them."""
        self._give_back()

    def _once(self, route: Route, request: dict[str, Any]) -> Body:
        import httpx2
        import openai

        self.budget.check()
        left = self.budget.seconds_left
        limit = self.settings.timeout if left is None else min(self.settings.timeout, max(left, 0.001))
        try:
            answer = route.send(**request, timeout=httpx2.Timeout(limit, connect=min(limit, 10.0)))
        except (openai.OpenAIError, ValueError) as error:
            if isinstance(error, openai.APITimeoutError):
                self.budget.check()  # the limit was what the attempt had left
            raise self._failed(failure(error, _sent(request), self.settings, self._scrub)) from None
        return self._counted(route, answer, request)

    def _counted(self, route: Route, answer: Any, request: dict[str, Any]) -> Body:
        """The answer's body, charged whatever is in it. Raises if it is no completion.

        The SDK validates nothing: a body that is no JSON comes as text, and any field may be missing.
        """
        if not hasattr(answer, "model_dump"):
            raise self._failed(failure(ValueError(str(answer)), _sent(request), self.settings, self._scrub))
        body: Body = answer.model_dump(warnings=False)
        answered = route.answered(body)
        if answered or body.get("usage"):
            self._answered = True
            usage, estimated = self.usage(route, body, request)
            self.budget.charge(usage, self.cost(body, usage), estimated=estimated)
            self.budget.answered_by(_who(body) or self.model)
            if self.budget.price_unknown():
                text = (
                    "this model's price is unknown, so the money budget is not enforced: set FIXBUG_PRICE_*"
                )
                self.on_event(ModelEvent("price", text))
        if answered:
            return body
        error = body.get("error")
        if isinstance(error, dict):  # an error of the model behind a router, with status 200
            code = str(error.get("code", ""))
            raise self._failed(
                status_failure(
                    int(code) if code.isdecimal() else 500,
                    code,
                    str(error.get("message", error)),
                    sent=_sent(request),
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
            return RefusedError(what.parameter)
        return _FailedError(what)

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
        self.on_event(ModelEvent("retry", text, wait))

    def _scrub(self, text: str) -> str:
        return text if self._key == PLACEHOLDER_KEY else text.replace(self._key, "[key]")


class _FailedError(Exception):
    def __init__(self, what: Failure) -> None:
        super().__init__(what.error.problem)
        self.failure = what


def _failure_of(state: RetryCallState) -> Failure:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _FailedError)
    return error.failure


def _sent(request: Mapping[str, Any]) -> set[str]:
    """Names of the parameters that were sent, those of the server's own among them."""
    ids = ["prompt_token_ids"] if isinstance(request.get("prompt"), list) else []
    return {*request, *(request.get("extra_body") or ()), *ids}


def _who(body: Body) -> str:
    """The model's name and ``system_fingerprint``, as far as the endpoint gives them."""
    return " ".join(str(body[name]) for name in ("model", "system_fingerprint") if body.get(name))


def _count(counts: Mapping[str, Any], name: str) -> int:
    value = counts.get(name)
    return max(value, 0) if isinstance(value, int) else 0


def clean(text: str) -> str:
    """Without lone surrogates, which neither UTF-8 nor an endpoint takes."""
    return text.encode("utf-8", "replace").decode()
