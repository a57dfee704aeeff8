"""Predictions as the field writes them: which patch was proposed for which instance.

A prediction is an object with ``instance_id`` and ``model_patch`` (or ``patch``; null or empty: nothing
was proposed) and, where known, ``model_name_or_path`` (or ``model``, ``system``). A file holds

- a JSON list of them, or JSON Lines (``.jsonl``, ``.jsonl.gz``);
- a JSON object from instance id to a prediction, to the bare text of a patch, or to a list of either
  (SWE-agent's and mini-swe-agent's ``preds.json``).

One instance may have several candidates. Patches are taken as they are, to the byte.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.errors import IntakeError

__all__ = ["Prediction", "digest", "distinct", "gold", "read_predictions"]

SHAPES = (
    'known shapes: JSON Lines or a list of {"instance_id", "model_patch"}; or an object '
    '{instance id: {"model_patch"}}, {instance id: patch}, {instance id: [either, …]}'
)


@dataclass(frozen=True)
class Prediction:
    """One distinct patch for one instance. ``names``: who proposed it, which says nothing about it."""

    instance_id: str
    patch: str
    names: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Names the patch: hexadecimal SHA-256 of its bytes."""
        return digest(self.patch)


def digest(patch: str) -> str:
    """Hexadecimal SHA-256 of a patch's bytes."""
    return hashlib.sha256(patch.encode("utf-8", "surrogateescape")).hexdigest()


def read_predictions(path: Path) -> list[Prediction]:
    """Every prediction in a file, in order, equal ones included.

    Raises ``IntakeError``: no such file, not readable, or in no known shape (with the place).
    """
    text = _text(path)
    lines = path.name.removesuffix(".gz").endswith(".jsonl")
    found = list(_of_lines(path, text) if lines else _of_json(path, text))
    if not found:
        raise IntakeError(f"{path} holds no predictions", cure=SHAPES)
    return found


def gold(rows: Sequence[Mapping[str, Any]]) -> list[Prediction]:
    """The dataset's own patches as predictions, as swebench takes ``gold`` for a file's name."""
    lacking = [str(row.get("instance_id")) for row in rows if not isinstance(row.get("patch"), str)]
    if lacking:
        raise IntakeError(
            f"{lacking[0]} and {len(lacking) - 1} other rows have no column patch",
            cure="give a dataset that holds its gold patches, or a predictions file",
        )
    return [Prediction(str(row["instance_id"]), row["patch"], ("gold",)) for row in rows]


def distinct(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Each patch of an instance once, with the names of all who proposed it."""
    found: dict[tuple[str, str], Prediction] = {}
    for prediction in predictions:
        key = prediction.instance_id, prediction.patch
        known = found.get(key)
        if known is None:
            found[key] = prediction
        else:
            names = tuple(dict.fromkeys(known.names + prediction.names))
            found[key] = replace(known, names=names)
    return list(found.values())


def _text(path: Path) -> str:
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise IntakeError(f"expected a predictions file, {path} {what}", cure=SHAPES)
    try:
        data = path.read_bytes()
        if path.name.endswith(".gz"):
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise IntakeError(f"{path} cannot be read: {error}", cure="write or download it again") from error


def _of_lines(path: Path, text: str) -> Iterator[Prediction]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield _prediction(_parsed(line, where), where, None)


def _of_json(path: Path, text: str) -> Iterator[Prediction]:
    value = _parsed(text, str(path))
    if isinstance(value, list):
        for number, entry in enumerate(value, 1):
            yield _prediction(entry, f"{path}, entry {number}", None)
    elif isinstance(value, dict) and isinstance(value.get("instance_id"), str):
        yield _prediction(value, str(path), None)
    elif isinstance(value, dict):
        for name, entry in value.items():
            for one in entry if isinstance(entry, list) else [entry]:
                yield _prediction(one, f"{path}, {name}", name)
    else:
        raise IntakeError(f"{path}: expected a list or an object, got {_kind(value)}", cure=SHAPES)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntakeError(f"{where} is not JSON: {error}", cure=SHAPES) from error


def _prediction(entry: Any, where: str, instance: str | None) -> Prediction:
    if instance is not None and (entry is None or isinstance(entry, str)):
        return Prediction(instance, _encodable(entry or ""))
    if not isinstance(entry, dict):
        raise IntakeError(f"{where}: expected an object, got {_kind(entry)}", cure=SHAPES)
    named = entry.get("instance_id", instance)
    if not isinstance(named, str) or not named:
        raise IntakeError(f"{where}: expected an instance_id, got {named!r}", cure=SHAPES)
    if instance is not None and named != instance:
        raise IntakeError(f"{where}: its instance_id is {named!r}", cure="make the two the same")
    column = next((column for column in ("model_patch", "patch") if column in entry), None)
    if column is None:
        raise IntakeError(f"{where}: no model_patch (nor patch) for {named}", cure=SHAPES)
    patch = entry[column]
    if patch is not None and not isinstance(patch, str):
        raise IntakeError(f"{where}: expected the text of a patch, got {_kind(patch)}", cure=SHAPES)
    names = [entry.get(key) for key in ("model_name_or_path", "model", "system")]
    who = next((name for name in names if isinstance(name, str) and name), None)
    return Prediction(named, _encodable(patch or ""), (who,) if who else ())


def _encodable(patch: str) -> str:
    """JSON can hold halves of characters, which no file can; such a patch will not apply."""
    return patch.encode("utf-8", "replace").decode()


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", type(None): "null", bool: "true or false"}
    return kinds.get(type(value), "a number")
