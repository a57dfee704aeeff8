# ruff: noqa: PTH118
"""Changed sources, served to imports in place of the files on disk."""

import importlib.abc
import importlib.machinery
import os
from typing import Any


class Overlay(importlib.abc.MetaPathFinder):
    """``sources``: real path → text. ``codes`` are those of the modules that it has served, by path."""

    def __init__(self, sources: Any) -> None:
        self.sources = sources
        self.codes: Any = {}

    def find_spec(self, fullname: Any, path: Any = None, target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if (
            spec is None
            or not spec.origin
            or not isinstance(spec.loader, importlib.machinery.SourceFileLoader)
        ):
            return None
        real = os.path.realpath(spec.origin)
        if real not in self.sources:
            return None
        spec.loader = OverlayLoader(fullname, spec.origin, real, self)
        return spec


class OverlayLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: Any, path: Any, real: Any, overlay: Any) -> None:
        super().__init__(fullname, path)
        self.real = real
        self.overlay = overlay

    def get_code(self, fullname: Any) -> Any:
        codes = self.overlay.codes
        if self.real not in codes:
            codes[self.real] = compiled(self.overlay.sources[self.real], self.path)
        return codes[self.real]


def compiled(text: Any, path: Any) -> Any:
    return compile(text, path, "exec", dont_inherit=True)


def apply_edits(text: Any, edits: Any) -> Any:
    data = text.encode("utf-8")
    for start, end, new in sorted(edits, reverse=True):
        data = data[:start] + new.encode("utf-8") + data[end:]
    return data.decode("utf-8")


def real_path(job: Any, path: Any) -> Any:
    return os.path.realpath(os.path.join(job["workdir"], path))


def sources_of(job: Any, candidate: Any) -> Any:
    """Real path → text of the files that a candidate changes."""
    if not candidate.get("edits"):
        return {}
    path = candidate["path"]
    return {real_path(job, path): apply_edits(job["bases"][path], candidate["edits"])}
