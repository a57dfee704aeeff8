"""Prompts as token ids: the special tokens by their numbers, what is between them by a real tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.llm.tokens import Tokenizer
from agent.world.simulators.native import as_ids


def test_a_tokenizer_from_a_file(tmp_path: Path) -> None:
    """Would catch begin-of-text put in by the tokenizer, and special tokens encoded as text."""
    tokenizers = pytest.importorskip("tokenizers", reason="the extra `tokenizer` is not installed")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"def": 1, "f": 2, "?": 0}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.add_special_tokens(["[BOS]"])
    begin = made.token_to_id("[BOS]")
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[BOS] $A", special_tokens=[("[BOS]", begin)]
    )
    made.save(str(tmp_path / "tokenizer.json"))
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        read = Tokenizer(path)
        assert read.encode("def f") == [1, 2]
        prompt = "<|begin_of_text|><|trace_context_start|>def f<|frame_sep|>"
        assert as_ids(prompt, read.encode) == [128000, 128107, 1, 2, 128100]
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(UsageError, match="is no tokenizer"):
        Tokenizer(tmp_path / "bad.json")


def test_a_tokenizer_that_is_not_there(tmp_path: Path) -> None:
    """Would catch a traceback for a missing file, or for the missing package."""
    with pytest.raises(UsageError, match="okenizer"):
        Tokenizer(tmp_path / "none.json")
