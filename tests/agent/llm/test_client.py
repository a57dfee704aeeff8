"""The client against a real HTTP server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agent.errors import BudgetExhausted, ContextTooLong, MissingKey, ModelError, UsageError
from agent.llm import Message
from agent.llm.budget import Budget
from agent.llm.client import ChatModel
from agent.llm.settings import load_settings
from tests.agent.llm.conftest import KEY, Scripted
from tests.openai_server import (
    Reply,
    call,
    completion,
    context_length_exceeded,
    cut,
    hang,
    status,
    text,
    tools,
)

Start = Callable[..., Scripted]
ASK: list[Message] = [{"role": "user", "content": "hello?"}]


def long_session(turns: int = 10, observation: int = 3000) -> list[Message]:
    messages: list[Message] = [{"role": "system", "content": "sys"}, {"role": "user", "content": "the task"}]
    for n in range(turns):
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call("bash", {"command": "ls"}, f"c{n}")]},
            {"role": "tool", "tool_call_id": f"c{n}", "content": f"{n}" + "o" * observation},
        ]
    return messages


def test_answer(scripted: Start) -> None:
    """Text, calls, usage and names arrive as they were sent, and the key goes to the endpoint alone."""
    s = scripted([tools(call("bash", '{"command": "ls"}', "id-1"), content="look")])
    got = s.model.complete(ASK, tools=[{"type": "function"}], temperature=0.5, max_tokens=7)
    assert (got.text, got.finish_reason, got.model) == ("look", "tool_calls", "scripted")
    assert [(c.id, c.name, c.arguments) for c in got.tool_calls] == [("id-1", "bash", '{"command": "ls"}')]
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.notes) == (100, 10, ())
    assert s.server.requests == [
        {
            "model": "m",
            "messages": ASK,
            "tools": [{"type": "function"}],
            "temperature": 0.5,
            "max_tokens": 7,
        }
    ]
    assert s.server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("code", [408, 409, 429, 500, 502, 503, 529])
def test_passing_failures_are_retried(scripted: Start, code: int) -> None:
    """A busy or broken server must not end an attempt; each retry is reported once."""
    s = scripted([status(code), status(code), text("at last")])
    assert s.model.complete(ASK).text == "at last"
    assert len(s.server.requests) == 3
    assert [event.kind for event in s.events] == ["retry", "retry"]
    assert [event.seconds for event in s.events] == s.waits
    assert str(code) in s.events[0].text


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 422])
def test_lasting_failures_are_not_retried(scripted: Start, code: int) -> None:
    """Sending a refused request again costs time and may cost money."""
    s = scripted([status(code, "no such thing"), text("never asked for")])
    with pytest.raises(ModelError) as caught:
        s.model.complete(ASK)
    assert str(code) in caught.value.problem
    assert caught.value.cure
    assert len(s.server.requests) == 1


def test_only_one_layer_retries(scripted: Start) -> None:
    """With the SDK's own retries on, the endpoint would see a multiple of these three tries."""
    s = scripted(lambda request: status(500), max_retries=2)
    with pytest.raises(ModelError, match="500"):
        s.model.complete(ASK)
    assert len(s.server.requests) == 3


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"Retry-After": "30"}, 30, 31),
        ({"retry-after-ms": "4000", "Retry-After": "30"}, 4, 5),
        ({"Retry-After": "soon"}, 0, 60),
        ({"Retry-After": "-5"}, 0, 60),
        ({"Retry-After": "nan"}, 0, 60),
    ],
)
def test_retry_after(scripted: Start, headers: dict[str, str], low: float, high: float) -> None:
    """The endpoint says how long to wait; nonsense falls back to our own back-off."""
    s = scripted([status(429, headers=headers), text("x")])
    s.model.complete(ASK)
    assert low <= s.waits[0] <= high


def test_retry_after_as_a_date(scripted: Start) -> None:
    """RFC 9110 allows an HTTP date, which proxies do send."""
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    s = scripted([status(503, headers={"Retry-After": then}), text("x")])
    s.model.complete(ASK)
    assert 30 <= s.waits[0] <= 41


@pytest.mark.parametrize(
    "refusal",
    [
        status(429, headers={"Retry-After": "3600"}),
        status(429, headers={"x-should-retry": "false"}),
        status(429, "You exceeded your current quota", code="insufficient_quota"),
    ],
)
def test_waits_that_cannot_help(scripted: Start, refusal: Reply) -> None:
    """An hour's wait, an explicit no, and an empty account end the call at once."""
    s = scripted([refusal, text("never asked for")])
    with pytest.raises(ModelError, match="429"):
        s.model.complete(ASK)
    assert (len(s.server.requests), s.waits) == (1, [])


def test_retries_are_bounded_in_time(scripted: Start) -> None:
    """Many retries must still end: no wait goes past retry_seconds."""
    s = scripted(lambda request: status(429, headers={"Retry-After": "50"}), retry_seconds=40, max_retries=99)
    with pytest.raises(ModelError):
        s.model.complete(ASK)
    assert len(s.server.requests) == 1


def test_a_wait_longer_than_the_attempt_has_left(scripted: Start) -> None:
    """A rate limit is an infrastructure failure, not an attempt that found nothing."""
    s = scripted([status(429, headers={"Retry-After": "50"}), text("x")], Budget(seconds=20))
    with pytest.raises(ModelError, match="429"):
        s.model.complete(ASK)


def test_hang(scripted: Start) -> None:
    """A server that accepts and says nothing must neither block for ever nor end the attempt at once."""
    s = scripted([hang(), text("awake")], timeout=0.2)
    assert s.model.complete(ASK).text == "awake"
    s = scripted(lambda request: hang(), timeout=0.2, max_retries=1)
    with pytest.raises(ModelError, match="within the time limit"):
        s.model.complete(ASK)
    assert len(s.server.requests) == 2


def test_hang_past_the_attempts_seconds(scripted: Start) -> None:
    """The request may not outlive the attempt's budget, whatever the time-out says."""
    s = scripted(lambda request: hang(), Budget(seconds=3), timeout=600)
    with pytest.raises(BudgetExhausted) as caught:
        s.model.complete(ASK)
    assert caught.value.resource == "seconds"
    assert len(s.server.requests) == 1


def test_cut_connection(scripted: Start) -> None:
    """A connection that breaks in mid-answer is a passing failure."""
    s = scripted([cut(), text("whole")])
    assert s.model.complete(ASK).text == "whole"
    assert "broke" in s.events[0].text


def test_nobody_listens() -> None:
    """A wrong URL is said quickly and by name, not after minutes of retries."""
    waits: list[float] = []
    settings = load_settings(model="m", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(ModelError, match=r"nothing answers at http://127\.0\.0\.1:1/v1") as caught:
        ChatModel(settings, sleep=waits.append).complete(ASK)
    assert "--base-url" in caught.value.cure
    assert len(waits) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body="{torn", headers={"Content-Type": "application/json"}),
        Reply(body={"choices": []}),
        Reply(body={"choices": None}),
        Reply(body={"error": {"code": 502, "message": "upstream"}}),
    ],
)
def test_answers_that_are_none(scripted: Start, reply: Reply) -> None:
    """Torn JSON, no choices, a router's error under status 200: tried again, never an AttributeError."""
    s = scripted([reply, text("x")])
    assert s.model.complete(ASK).text == "x"


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "3"])
def test_json_that_is_no_object(scripted: Start, body: str) -> None:
    """The SDK hands such a body on as it is."""
    s = scripted(lambda request: Reply(body=body, headers={"Content-Type": "application/json"}))
    with pytest.raises(ModelError):
        s.model.complete(ASK)


def test_sparse_answers(scripted: Start) -> None:
    """Small servers leave out what the protocol requires; the SDK then has no such attribute at all."""
    bare = {"choices": [{"message": {"tool_calls": [{"function": {"name": "bash"}}, {}, 7]}}]}
    s = scripted(
        [Reply(body=bare), Reply(body={**bare, "usage": {"total_tokens": 5, "prompt_tokens": None}})]
    )
    for _ in range(2):
        got = s.model.complete(ASK)
        assert (got.text, got.finish_reason, got.model) == ("", "", "m")
        assert [(c.id, c.name, c.arguments) for c in got.tool_calls] == [("call_1", "bash", "")]
        assert got.usage.prompt_tokens > 0


def test_a_web_page_instead_of_an_answer(scripted: Start) -> None:
    """A base URL that leads to some web site is a mistake to report, not to retry."""
    s = scripted([Reply(body="<html>Welcome</html>", headers={"Content-Type": "text/html"})])
    with pytest.raises(ModelError, match="no chat completion") as caught:
        s.model.complete(ASK)
    assert "/v1" in caught.value.cure


def test_unknown_model_and_wrong_path(scripted: Start) -> None:
    """Two kinds of 404 have two cures."""
    s = scripted([status(404, "The model `m` does not exist", code="model_not_found")])
    with pytest.raises(ModelError, match="knows no model 'm'"):
        s.model.complete(ASK)
    s.model.close()
    wrong = load_settings(model="m", base_url=s.server.base_url + "/nowhere", api_key=KEY)
    with pytest.raises(ModelError) as caught:
        ChatModel(wrong).complete(ASK)
    assert "/v1" in caught.value.cure


def test_missing_key(scripted: Start) -> None:
    """OpenAI itself needs a key before anything is sent; a server of one's own gets a placeholder;
    one that wants a key after all is reported as a missing key."""
    with pytest.raises(MissingKey, match=r"api\.openai\.com") as caught:
        ChatModel(load_settings(model="m"))
    assert "OPENAI_API_KEY" in caught.value.cure
    s = scripted([text("x"), status(401, "who are you")], api_key=None)
    assert s.model.complete(ASK).text == "x"
    assert s.server.headers[0]["authorization"] == "Bearer none"
    with pytest.raises(MissingKey):
        s.model.complete(ASK)


def test_no_model_named() -> None:
    """The SDK would send ``null``."""
    with pytest.raises(UsageError, match="no model"):
        ChatModel(load_settings(base_url="http://127.0.0.1:1/v1"))


def test_keys_never_show(scripted: Start) -> None:
    """Endpoints echo the key they refuse; neither errors, events nor their causes may carry it on."""
    s = scripted([status(503, f"busy with {KEY}"), status(401, f"Incorrect API key provided: {KEY}")])
    with pytest.raises(ModelError) as caught:
        s.model.complete(ASK)
    chain, error = "", caught.value
    while error is not None:
        chain += f"{error!r} {error}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert KEY not in chain + repr(s.events) + repr(s.model.endpoint.settings)
    assert "[key]" in chain


def test_url_with_a_password(scripted: Start) -> None:
    """A password in the base URL is a secret too."""
    settings = load_settings(model="m", base_url="http://user:hunter2@127.0.0.1:1/v1")
    with pytest.raises(ModelError) as caught:
        ChatModel(settings, sleep=lambda seconds: None).complete(ASK)
    assert "hunter2" not in str(caught.value)


TOO_LONG = [
    context_length_exceeded(),
    status(400, "prompt is too long: 210000 tokens > 200000 maximum"),
    status(400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    status(400, "the request exceeds the available context size", type="exceed_context_size_error"),
    status(400, "This model's maximum prompt length is 131072 but the request contains 150000 tokens."),
    status(422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096."),
    status(400, "Input is too long for requested model."),
    status(400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum"),
    status(429, "Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000."),
    Reply(400, {"object": "error", "message": "This model's maximum context length is 4096 tokens."}),
    Reply(413, "<html>413 Request Entity Too Large</html>", {"Content-Type": "text/html"}),
]


@pytest.mark.parametrize("refusal", TOO_LONG)
def test_too_long_is_cut_and_recorded(scripted: Start, refusal: Reply) -> None:
    """However a server words it, the conversation is cut, sent again without a wait, and the cut noted."""
    s = scripted([refusal, text("fits")])
    messages = long_session()
    got = s.model.complete(messages)
    assert got.text == "fits"
    assert got.notes[0].startswith("context cut: 22 messages → ")
    first, second = (request["messages"] for request in s.server.requests)
    assert len(str(second)) < 0.7 * len(str(first))
    assert second[:2] == messages[:2]
    assert second[-4:] == messages[-4:]
    assert (s.waits, [event.kind for event in s.events]) == ([], ["cut"])


def test_rate_limit_in_tokens_is_not_too_long(scripted: Start) -> None:
    """ "Would exceed the limit of N tokens per minute" passes by itself; cutting would lose the session."""
    words = "This request would exceed your organization's rate limit of 40,000 input tokens per minute."
    s = scripted([status(429, words), text("x")])
    assert s.model.complete(long_session()).notes == ()
    assert len(s.waits) == 1


def test_too_long_is_cut_a_few_times_only(scripted: Start) -> None:
    """A server that always complains must not be asked for ever."""
    s = scripted(lambda request: context_length_exceeded())
    with pytest.raises(ContextTooLong):
        s.model.complete(long_session(turns=60))
    sizes = [len(str(request)) for request in s.server.requests]
    assert 2 <= len(sizes) <= 5
    assert sizes == sorted(sizes, reverse=True)


def test_too_long_without_anything_to_cut(scripted: Start) -> None:
    """A task is never cut: a simulation of half a prompt would be worth nothing."""
    s = scripted([context_length_exceeded()])
    with pytest.raises(ContextTooLong, match="longer than m takes"):
        s.model.complete([{"role": "user", "content": "x" * 100_000}])


def test_the_length_is_learnt(scripted: Start) -> None:
    """Without memory every later request of the session would be refused once first."""
    s = scripted([context_length_exceeded(), text("a"), text("b")])
    s.model.complete(long_session())
    again = s.model.complete(long_session(turns=11))
    assert len(s.server.requests) == 3
    assert again.notes[0].startswith("context cut: 24 messages")


@pytest.mark.parametrize(
    "refusal",
    [
        status(400, "Invalid parameter", param="response_format"),
        status(400, "This response_format type is unavailable now"),
        status(400, "This model does not support response format `json_schema`"),
        status(422, "json_schema is not supported"),
    ],
)
def test_json_schema(scripted: Start, refusal: Reply) -> None:
    """A strict schema where it is honoured; else plain text that names the schema, and no second refusal."""
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    s = scripted([text("{}"), refusal, text("{}"), text("{}")])
    assert s.model.complete(ASK, json_schema=schema).notes == ()
    sent = s.server.requests[0]["response_format"]
    assert sent["json_schema"] == {"name": "answer", "schema": schema, "strict": True}

    fallen = s.model.complete(ASK, json_schema=schema)
    assert fallen.notes == ("the endpoint does not take response_format",)
    s.model.complete(ASK, json_schema=schema)
    assert len(s.server.requests) == 4
    for request in s.server.requests[2:]:
        assert "response_format" not in request
        assert '"additionalProperties": false' in request["messages"][-1]["content"]
    assert [event.kind for event in s.events] == ["fallback"]


def test_refused_parameters(scripted: Start) -> None:
    """Reasoning models refuse max_tokens (under that name) and temperature; that must not end a run."""
    s = scripted(
        [
            status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
            status(400, "Unsupported value: 'temperature' does not support 0.2 with this model."),
            text("x"),
            text("y"),
        ]
    )
    s.model.complete(ASK, temperature=0.2, max_tokens=9)
    s.model.complete(ASK, temperature=0.2, max_tokens=9)
    for request in s.server.requests[2:]:
        assert request == {"model": "m", "messages": ASK, "max_completion_tokens": 9}


def test_no_tool_calls_here(scripted: Start) -> None:
    """Servers without tool calls say so; the cure is the text protocol."""
    s = scripted([status(400, "m does not support tools")])
    with pytest.raises(ModelError) as caught:
        s.model.complete(ASK, tools=[{"type": "function"}])
    assert "FIXBUG_PROTOCOL=text" in caught.value.cure


def test_length_and_empty_content(scripted: Start) -> None:
    """A cut answer with no text (a reasoning model that ran out) is an answer, and is charged."""
    s = scripted([completion(None, finish_reason="length", reasoning_content="hmm")])
    got = s.model.complete(ASK)
    assert (got.text, got.finish_reason) == ("", "length")
    assert s.model.budget.snapshot()["tokens"] == 110


def test_odd_answers(scripted: Start) -> None:
    """Content in parts, refusals, missing and repeated call ids, arguments as an object, lone surrogates."""
    s = scripted(
        [
            completion(
                [{"type": "thinking"}, {"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]
            ),
            completion(None, refusal="I will not"),
            tools(
                call("a", "{}", ""),
                call("b", "{}", "same"),
                call("c", "{}", "same"),
                {"type": "function", "id": "d", "function": {"name": "d", "arguments": {"x": 1}}},
            ),
            text("a\ud800b"),
        ]
    )
    assert s.model.complete(ASK).text == "in parts"
    assert s.model.complete(ASK).text == "I will not"
    calls = s.model.complete(ASK).tool_calls
    assert len({c.id for c in calls}) == 4
    assert all(c.id for c in calls)
    assert calls[3].arguments == '{"x": 1}'
    assert s.model.complete([{"role": "user", "content": "odd \udcff output"}]).text == "a?b"


def test_cost_as_reported_or_by_price_or_unknown(scripted: Start) -> None:
    """OpenRouter's figure first, then the configured prices (cached tokens apart), else None."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}
    prices = {"price_input": 2.0, "price_output": 10.0, "price_cached": 0.5}
    s = scripted([text("x", usage={**usage, "cost": 0.25}), text("x", usage=usage)], **prices)
    assert s.model.complete(ASK).cost_usd == 0.25
    assert s.model.complete(ASK).cost_usd == pytest.approx((600 * 2 + 400 * 0.5 + 100 * 10) / 1e6)
    assert scripted([text("x")]).model.complete(ASK).cost_usd is None


def test_unknown_price_is_said_once(scripted: Start) -> None:
    """A local model without a price must not abort a run that limits money; it must not nag either."""
    s = scripted([text("x"), text("y")], Budget(usd=1.0))
    s.model.complete(ASK)
    s.model.complete(ASK)
    assert [event.kind for event in s.events] == ["price"]
    assert s.model.budget.snapshot()["usd"] is None


def test_no_usage_is_estimated(scripted: Start) -> None:
    """A server that counts nothing must not make an unlimited budget."""
    s = scripted([text("y" * 400, usage=None)])
    got = s.model.complete([{"role": "user", "content": "x" * 4000}])
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (1000, 100)
    assert "estimated" in got.notes[0]
    assert s.model.budget.snapshot()["estimated_requests"] == 1


def test_unusable_answers_are_charged(scripted: Start) -> None:
    """What was billed counts, even where there is nothing to use in it."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    s = scripted([Reply(body={"choices": [], "usage": usage}), text("x")])
    s.model.complete(ASK)
    assert s.model.budget.snapshot()["tokens"] == 220


def test_the_budget_stops_requests(scripted: Start) -> None:
    """An attempt over its tokens gets the answer it has paid for, and no further one."""
    s = scripted([text("x"), text("y")], Budget(tokens=50))
    assert s.model.complete(ASK).text == "x"
    with pytest.raises(BudgetExhausted, match="50 tokens"):
        s.model.complete(ASK)
    assert len(s.server.requests) == 1


def test_many_threads_share_a_model(scripted: Start) -> None:
    """Samples are drawn side by side: nothing may be lost or mixed up."""
    s = scripted(lambda request: text(request["messages"][0]["content"][::-1]))
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = s.model.complete([{"role": "user", "content": f"{number}!"}]).text

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: f"{n}!"[::-1] for n in range(16)}
    assert s.model.budget.snapshot()["tokens"] == 16 * 110
