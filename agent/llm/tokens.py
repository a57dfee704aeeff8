"""Text as token ids, by a Hugging Face ``tokenizer.json`` (the ``tokenizers`` package, an extra)."""

from __future__ import annotations

from pathlib import Path

from agent.errors import UsageError


class Tokenizer:
    """Raises ``UsageError`` when built: no package, no such file, or a file that is no tokenizer."""

    def __init__(self, path: Path) -> None:
        try:
            from tokenizers import Tokenizer as Loaded
        except ImportError as error:
            raise UsageError(
                "--tokenizer needs the package tokenizers, which is not installed",
                cure="pip install 'fixbug-cwm[tokenizer]', or leave --tokenizer out: the prompt goes as text",
            ) from error
        if path.is_dir():
            path = path / "tokenizer.json"
        if not path.is_file():
            raise UsageError(f"there is no tokenizer at {path}", cure="name a tokenizer.json")
        try:
            self._loaded = Loaded.from_file(str(path))
        except Exception as error:  # the package raises nothing narrower
            raise UsageError(f"{path} is no tokenizer: {error}", cure="name a tokenizer.json") from error

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without any that the tokenizer would add at its ends."""
        ids: list[int] = self._loaded.encode(text, add_special_tokens=False).ids
        return ids
