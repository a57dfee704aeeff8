"""Which model, at which endpoint, at what price: from arguments, then ``FIXBUG_*``, then ``OPENAI_*``."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.errors import MissingKey, UsageError

OPENAI = "https://api.openai.com/v1"
PLACEHOLDER_KEY = "none"
"""The SDK insists on a key; servers that need none ignore it."""


class ModelSettings(BaseSettings):
    """Build it with ``load_settings``, which turns a bad value into a ``UsageError``."""

    model_config = SettingsConfigDict(
        env_prefix="FIXBUG_",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
        frozen=True,
    )

    model: str | None = None
    base_url: str = Field(OPENAI, validation_alias=AliasChoices("FIXBUG_BASE_URL", "OPENAI_BASE_URL"))
    api_key: SecretStr | None = Field(None, validation_alias=AliasChoices("FIXBUG_API_KEY", "OPENAI_API_KEY"))
    protocol: Literal["tools", "text"] = "tools"
    timeout: float = Field(600.0, gt=0)
    """Seconds a request may go without a byte from the endpoint."""
    max_retries: int = Field(6, ge=0)
    retry_seconds: float = Field(1800.0, ge=0)
    """No retry begins later than this after the first try."""
    max_retry_after: float = Field(120.0, ge=0)
    """The longest Retry-After, in seconds, that is waited for."""
    price_input: float | None = Field(None, ge=0)
    """US dollars per million prompt tokens; likewise the two below."""
    price_output: float | None = Field(None, ge=0)
    price_cached: float | None = Field(None, ge=0)
    """Without it cached prompt tokens cost what others do."""

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected a URL such as http://localhost:8000/v1")
        return value.rstrip("/")

    @property
    def endpoint(self) -> str:
        """The base URL without user name and password, for messages."""
        parts = urlsplit(self.base_url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def key(self) -> str:
        """The key to send. Raises ``MissingKey`` where OpenAI itself is meant and there is none."""
        if self.api_key is not None and self.api_key.get_secret_value():
            return self.api_key.get_secret_value()
        if urlsplit(self.base_url).hostname == urlsplit(OPENAI).hostname:
            raise MissingKey(
                f"{self.endpoint} needs a key and none is set",
                cure="export OPENAI_API_KEY, name another endpoint with --base-url, or use --model offline",
            )
        return PLACEHOLDER_KEY


def load_settings(**given: Any) -> ModelSettings:
    """Settings from the arguments that are not None, then the environment. Raises ``UsageError``."""
    try:
        return ModelSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise UsageError(
            f"the model's settings do not make sense: {problems}",
            cure="correct the option or the environment variable (docs/models.md lists them)",
        ) from None
