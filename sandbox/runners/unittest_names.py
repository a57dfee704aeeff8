"""Ids of unittest's tests, as the rest of fixbug knows them (``FILE::Class::test``), and unittest's labels.

A label is a dotted name (``view_tests.tests.test_debug.DebugViewTests.test_x``) below a base directory:
``tests/`` for Django's own suite, that of ``manage.py`` for a Django project, else the repository's root. Ids
are taken in these forms too: ``test_x (module.Class)``, as unittest prints it, and a label.
"""

import os
import re
import sys
from typing import Any

from .results import relative

_PRINTED = re.compile(r"(\w+) \(([\w.]+)\)\Z")


class Names:
    """``root`` and ``base`` are absolute paths."""

    def __init__(self, root: str, base: str) -> None:
        self.root, self.base = root, base

    def id_of(self, asked: str) -> str:
        """The id that a test is asked for by; what can't be told stays as it is."""
        printed = _PRINTED.match(asked)
        if printed:
            name, place = printed.groups()
            asked = place if place.endswith("." + name) else place + "." + name
        if "::" in asked or "/" in asked or asked.endswith(".py") or os.path.exists(self._in_root(asked)):
            return asked
        parts = asked.split(".")
        for end in range(len(parts), 0, -1):
            for base in (self.base, self.root):
                path = os.path.join(base, *parts[:end])
                if os.path.isfile(path + ".py"):
                    return "::".join([relative(path + ".py", self.root) or asked] + parts[end:])
                if os.path.isdir(path) and end == len(parts):
                    return relative(path, self.root) or asked
        return asked

    def label_of(self, test: str) -> str:
        """The dotted name of a test's class or module, or of a directory; of a whole id only as much as a
        loader resolves without calling anything."""
        path, _, rest = test.partition("::")
        place = os.path.realpath(self._in_root(path))
        base = self.base if place.startswith(os.path.realpath(self.base) + os.sep) else self.root
        dotted = os.path.relpath(place, os.path.realpath(base))
        dotted = dotted[:-3] if dotted.endswith(".py") else dotted
        parts = [p for p in dotted.split(os.sep) if p != "."]
        if parts[-1:] == ["__init__"]:
            del parts[-1]
        names = rest.split("::") if rest else []
        if names and (len(names) > 1 or names[0][:1].isupper()):
            parts += names
        return ".".join(parts)

    def exists(self, test: str) -> bool:
        """Whether there is the file of a test."""
        return os.path.exists(self._in_root(test.partition("::")[0]))

    def _in_root(self, path: str) -> str:
        return os.path.join(self.root, path)

    def of(self, test: Any) -> str:
        """The id of a unittest test case."""
        kind = type(test)
        method = getattr(test, "_testMethodName", None)
        function = getattr(test, "_testFunc", None)
        if function is not None:
            file = self.file_of(getattr(function, "__module__", ""))
            return "%s::%s" % (file, function.__name__)
        if not isinstance(method, str) or kind.__module__ in ("doctest", "unittest.case"):
            return str(test)
        names = getattr(kind, "__qualname__", kind.__name__).split(".")
        return "::".join([self.file_of(kind.__module__)] + names + [method])

    def file_of(self, module: str) -> str:
        """The file of an imported module, or its name where that is not the repository's."""
        file = getattr(sys.modules.get(module), "__file__", None)
        found = relative(file, self.root) if isinstance(file, str) else None
        return found or module


def is_wanted(test: str, asked: str) -> bool:
    """Whether a test is the one that was asked for, or belongs to it (a class, a file, a directory)."""
    return test == asked or test.startswith((asked + "::", asked.rstrip("/") + "/"))
