"""A model at a scripted endpoint; waits between retries are noted, not slept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.llm import ModelEvent
from agent.llm.budget import Budget
from agent.llm.client import ChatModel
from agent.llm.settings import load_settings
from tests.openai_server import OpenAIServer, Script, serve

KEY = "sk-a-key-that-must-not-show"


@dataclass
class Scripted:
    model: ChatModel
    server: OpenAIServer
    waits: list[float]
    events: list[ModelEvent] = field(default_factory=list)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith(("FIXBUG_", "OPENAI_")) and name not in ("FIXBUG_DATA", "FIXBUG_REQUIRE_DOCKER"):
            monkeypatch.delenv(name)


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    with ExitStack() as stack:

        def start(script: Script, budget: Budget | None = None, **settings: Any) -> Scripted:
            server = stack.enter_context(serve(script))
            waits: list[float] = []
            events: list[ModelEvent] = []
            given = {"model": "m", "base_url": server.base_url, "api_key": KEY, **settings}
            model = ChatModel(load_settings(**given), budget, on_event=events.append, sleep=waits.append)
            stack.callback(model.close)
            return Scripted(model, server, waits, events)

        yield start
