"""Doing something to a module as soon as it is imported, and not before: options may say how it is to be."""

import sys
from typing import Any, Callable, Sequence


class OnImport:
    """In a ``with``: ``action(module)`` is called for each of the named modules that is imported."""

    def __init__(self, names: Sequence[str], action: Callable[[Any], None]) -> None:
        self.names, self.action = names, action
        self.busy = False

    def __enter__(self) -> "OnImport":
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *error: Any) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.names or self.busy:
            return None
        from importlib.util import find_spec

        self.busy = True
        try:
            spec = find_spec(name)
        finally:
            self.busy = False
        if spec is None or spec.loader is None:
            return None
        execute, action = spec.loader.exec_module, self.action

        def exec_module(module: Any) -> None:
            execute(module)
            action(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
