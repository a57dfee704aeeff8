"""Where settings come from."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent.errors import MissingKey, UsageError
from agent.llm.settings import OPENAI, PLACEHOLDER_KEY, load_settings


def test_arguments_then_fixbug_then_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command-line option must win over the environment, and our names over OpenAI's."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://openai.example/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    assert load_settings().base_url == "http://openai.example/v1"
    monkeypatch.setenv("FIXBUG_BASE_URL", "http://fixbug.example/v1/")
    monkeypatch.setenv("FIXBUG_API_KEY", "ours")
    monkeypatch.setenv("FIXBUG_MODEL", "from-env")
    monkeypatch.setenv("FIXBUG_PRICE_INPUT", "1.5")
    got = load_settings(model=None)
    assert (got.base_url, got.key(), got.model) == ("http://fixbug.example/v1", "ours", "from-env")
    assert got.price_input == 1.5
    given = load_settings(model="given", base_url="http://given.example", api_key="k", timeout=5)
    assert (given.base_url, given.key(), given.model, given.timeout) == (
        "http://given.example",
        "k",
        "given",
        5,
    )


def test_other_variables_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """``MODEL`` or ``BASE_URL`` in someone's environment is not meant for us."""
    for name in ("MODEL", "BASE_URL", "API_KEY", "TIMEOUT"):
        monkeypatch.setenv(name, "7")
    got = load_settings()
    assert (got.model, got.base_url, got.api_key, got.timeout) == (None, OPENAI, None, 600)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FIXBUG_TIMEOUT", "soon"),
        ("FIXBUG_TIMEOUT", "0"),
        ("FIXBUG_BASE_URL", "localhost:8000"),
        ("FIXBUG_PROTOCOL", "x"),
    ],
)
def test_bad_values(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A bad variable is a usage error that names it, not pydantic's page."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert name.removeprefix("FIXBUG_").lower() in caught.value.problem.lower()
    assert "pydantic" not in str(caught.value)


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is no key; only OpenAI's own endpoint insists on one; none is ever shown."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with pytest.raises(MissingKey):
        load_settings().key()
    assert load_settings(base_url="http://localhost:8000/v1").key() == PLACEHOLDER_KEY
    shown = load_settings(api_key="sk-secret")
    assert "sk-secret" not in f"{shown!r} {shown} {shown.model_dump_json()}"


def test_imports_are_light() -> None:
    """``fixbug --help`` imports the value types and must not load the SDK."""
    code = (
        "import sys, agent.llm, agent.actions, agent.llm.budget, agent.llm.protocol, agent.llm.recorded\n"
        "print([m for m in ('openai', 'httpx2', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
