"""The completions endpoint: the same retries, counting and memory as in chat."""

from __future__ import annotations

import pytest

from agent.errors import BudgetExhausted, ContextTooLong, ModelError
from agent.llm.budget import Budget
from agent.llm.completions import CompletionsModel
from agent.llm.settings import load_settings
from tests.openai_server import Script, context_length_exceeded, continuation, serve, status, text


def go_on(
    script: Script, budget: Budget, *, times: int = 1, **options: object
) -> tuple[list[str], list[dict]]:
    with serve(script) as server:
        settings = load_settings(model="m", base_url=server.base_url, price_input=1.0, price_output=2.0)
        model = CompletionsModel(settings, budget, sleep=lambda seconds: None)
        try:
            said = [model.go_on("x = ", **options).text for _ in range(times)]  # type: ignore[arg-type]
        finally:
            model.close()
        return said, server.requests


def test_what_is_sent_and_counted() -> None:
    """Would catch a parameter of vLLM's that is not in the body, and an answer that costs nothing."""
    budget = Budget()
    said, (request,) = go_on(
        [continuation("1\n")],
        budget,
        max_tokens=5,
        temperature=0.3,
        top_p=0.9,
        stop=["\n"],
        stop_ids=[128001],
    )
    assert said == ["1\n"]
    assert (request["prompt"], request["max_tokens"], request["top_p"]) == ("x = ", 5, 0.9)
    assert (request["stop"], request["stop_token_ids"]) == (["\n"], [128001])
    assert request["skip_special_tokens"] is False
    used = budget.snapshot()
    assert (used["requests"], used["tokens"], used["usd"]) == (1, 110, pytest.approx(120e-6))


def test_it_tries_again_in_one_layer() -> None:
    """Would catch a rate limit that ends it, and a bad request that is sent again."""
    said, requests = go_on([status(429), status(503), continuation("1")], Budget())
    assert (said, len(requests)) == (["1"], 3)
    with pytest.raises(ModelError):
        go_on([status(400, "no"), continuation("1")], Budget())
    with pytest.raises(ContextTooLong):
        go_on([context_length_exceeded(), continuation("1")], Budget())


def test_a_budget_that_is_used_up_asks_nothing() -> None:
    """Would catch a simulation that goes on when the attempt's tokens are spent."""
    with pytest.raises(BudgetExhausted):
        go_on([continuation("1"), continuation("2")], Budget(tokens=100), times=2)


def test_an_answer_in_another_shape_is_none() -> None:
    """Would catch a chat answer, or one without a choice, being read as a text."""
    with pytest.raises(ModelError, match="without a choice"):
        go_on(lambda request: text("hello"), Budget())


def test_usage_that_is_not_reported_is_estimated() -> None:
    """Would catch a free model where the server counts nothing."""
    budget = Budget()
    go_on([continuation("12345678", usage=None)], budget, ids=[1, 2, 3])
    used = budget.snapshot()
    assert (used["estimated_requests"], used["prompt_tokens"], used["completion_tokens"]) == (1, 3, 2)


def test_a_model_that_only_chats() -> None:
    """Would catch a cure that sends the reader after the model's name."""
    said = "This is a chat model and not supported in the v1/completions endpoint."
    with pytest.raises(ModelError) as caught:
        go_on([status(404, said)], Budget())
    assert "cwm-chat" in caught.value.cure
