"""Which model simulates, and how it is asked: from what the command line says to a simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.llm import EventHandler, Model
    from agent.llm.budget import Budget
    from agent.llm.settings import ModelSettings
    from agent.world.simulators.chat import ChatSimulator
    from agent.world.simulators.code_world_model import CwmSimulator
    from agent.world.simulators.native import Teller, Way

Format = Literal["chat", "lines", "cwm", "cwm-step", "cwm-single", "cwm-chat"]
FORMATS: tuple[Format, ...] = ("chat", "lines", "cwm", "cwm-step", "cwm-single", "cwm-chat")
"""How a model is asked.

- ``chat``: for every line, as JSON; ``lines``: for the states at named lines, as JSON.
- ``cwm``: Code World Models' own tokens through ``/completions``, the whole trace; ``cwm-step``: a frame a
  request; ``cwm-single``: only what comes out in the end.
- ``cwm-chat``: a chat model, in CWM's format.
"""
_WAYS: dict[str, Way] = {"cwm": "full", "cwm-step": "steps", "cwm-single": "single"}


@dataclass(frozen=True)
class SimulatingModel:
    """What simulates. ``model``: a chat model that is there already, for the formats that can use it."""

    format: Format
    settings: ModelSettings
    budget: Budget
    model: Model | None = None
    repair: bool = False
    tokenizer: str | None = None
    """Path of a ``tokenizer.json``: prompts of CWM's own format go as token ids."""
    on_event: EventHandler | None = None

    def simulator(self) -> ChatSimulator | CwmSimulator:
        """The simulator. Raises ``MissingKey`` or ``UsageError``."""
        from agent.world.simulators.chat import ChatSimulator
        from agent.world.simulators.code_world_model import CwmSimulator

        if self.format in ("chat", "lines"):
            asking: Literal["dense", "lines"] = "lines" if self.format == "lines" else "dense"
            return ChatSimulator(self._chat(), asking, repair=self.repair)
        return CwmSimulator(self.teller(), single=self.format == "cwm-single")

    def teller(self) -> Teller:
        """What tells traces in CWM's format. Raises ``MissingKey`` or ``UsageError``."""
        from agent.world.simulators.native import ChatFormTeller, NativeTeller

        if self.format == "cwm-chat":
            return ChatFormTeller(self._chat(), repair=self.repair)
        from agent.llm.completions import CompletionsModel

        endpoint = CompletionsModel(self.settings, self.budget, on_event=self.on_event)
        return NativeTeller(endpoint, _WAYS[self.format], self._encode(), self.repair)

    def _chat(self) -> Model:
        from agent.llm.client import ChatModel

        return self.model or ChatModel(self.settings, self.budget, on_event=self.on_event)

    def _encode(self) -> Callable[[str], list[int]] | None:
        if self.tokenizer is None:
            return None
        from agent.llm.tokens import Tokenizer

        return Tokenizer(Path(self.tokenizer)).encode


def as_format(name: str) -> Format:
    """A format by its name. Raises ``UsageError``."""
    found = next((known for known in FORMATS if known == name), None)
    if found is None:
        raise UsageError(f"{name!r} is no format", cure=f"there are: {', '.join(FORMATS)}")
    return found


def simulating_settings(model: str | None, base_url: str | None, settings: ModelSettings) -> ModelSettings:
    """Settings of a model that only simulates: those of the other one, under its own name and URL.

    The key goes to the endpoint that it was given for, and to no other: another one gets
    ``FIXBUG_SIM_API_KEY``.
    """
    import os

    from pydantic import SecretStr

    from agent.llm.settings import load_settings

    url = base_url or settings.base_url
    key = os.environ.get("FIXBUG_SIM_API_KEY")
    if key is None and url.rstrip("/") == settings.base_url:
        return settings.model_copy(update={"model": model or settings.model})
    return load_settings(model=model or settings.model, base_url=url).model_copy(
        update={"api_key": SecretStr(key) if key else None}
    )
