# ruff: noqa: PTH113, S110
"""Which repository lines run, and with which arguments its functions are called."""

import ast
import os
from typing import Any


class Lines:
    """Which repository lines run, and with which arguments its functions are called."""

    def __init__(self, workdir: Any, want_calls: Any) -> None:
        self.workdir = os.path.realpath(workdir) + os.sep
        self.lines: Any = {}
        self.calls: Any = []
        self.want_calls = want_calls
        self.names: Any = {}

    def path_of(self, filename: Any) -> Any:
        if filename not in self.names:
            real = os.path.realpath(filename)
            inside = real.startswith(self.workdir) and "site-packages" not in real and os.path.isfile(real)
            self.names[filename] = real[len(self.workdir) :] if inside else None
        return self.names[filename]

    def __call__(self, frame: Any, event: Any, arg: Any) -> Any:
        path = self.path_of(frame.f_code.co_filename)
        if path is None:
            return None
        seen = self.lines.setdefault(path, {})
        if self.want_calls and len(self.calls) < 200 and frame.f_code.co_name[0] != "<":
            count = frame.f_code.co_argcount
            values = [frame.f_locals[name] for name in frame.f_code.co_varnames[:count]]
            try:
                text = repr(values)
                if len(text) < 2000:
                    ast.literal_eval(text)
                    self.calls.append([path, frame.f_code.co_name, frame.f_code.co_firstlineno, text])
            except Exception:
                pass  # not a literal: of no use as a seed for generated inputs

        def local(frame: Any, event: Any, arg: Any) -> Any:
            if event == "line":
                seen[frame.f_lineno] = seen.get(frame.f_lineno, 0) + 1
            return local

        return local


def outside(lines: Any, name: Any, module: Any) -> Any:
    file = getattr(module, "__file__", None)
    return bool(file) and lines.path_of(file) is None and name != "__main__"
