"""What recomputation asks of a trace again and again: calls, callers, states, and the names of the module."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from agent.world.checking.effects import may_change_others
from agent.world.checking.interpret import BUILTINS, MODULES, Module
from agent.world.checking.legality import Activation, activation, by_activation
from agent.world.flow import Program, Unit
from agent.world.trace import Trace, states

MAX_SECONDS = 60.0
"""How long a trace is looked at; what is left then is left open."""


class Story:
    """A trace of a program, by call."""

    def __init__(self, trace: Trace, program: Program) -> None:
        self.frames, self.program = trace.frames, program
        self.until = time.monotonic() + MAX_SECONDS
        self.states = states(trace.frames)
        self.calls = by_activation(trace)
        self.caller: dict[Activation, int] = {}
        """Call → index of the last frame of its caller before it."""
        self.children: dict[Activation, list[Activation]] = {}
        self.bound: dict[int, dict[str, Any]] = {}
        """Frame of a comprehension → the names of the round that begins with it."""
        self.outside = outside_names(program)
        self._nest()

    def _nest(self) -> None:
        stack: list[tuple[Activation, int]] = []
        for index, frame in enumerate(self.frames):
            if frame.event == "probe":
                continue
            key = activation(frame)
            if frame.event == "call":
                if stack and key not in self.caller:
                    self.caller[key] = stack[-1][1]
                    self.children.setdefault(stack[-1][0], []).append(key)
                stack.append((key, index))
            elif stack and stack[-1][0] == key:
                stack[-1] = (key, index)
            if frame.event == "return" and stack and stack[-1][0] == key:
                stack.pop()

    def unit(self, key: Activation) -> Unit | None:
        units = self.program.named(key[2], self.frames[self.calls[key][0]].line)
        return units[0] if units and key[1] == self.program.path else None

    @cached_property
    def changing(self) -> frozenset[Activation]:
        """The calls that may change what their callers hold."""
        functions = {u.qualname.rpartition(".")[2] for u in self.program.units if not u.is_nameless}
        known: dict[int, bool] = {}
        found: set[Activation] = set()
        for key in reversed(self.calls):  # a call comes before those that are made in it
            unit = self.unit(key)
            if unit is not None and id(unit) not in known:
                known[id(unit)] = may_change_others(unit.node, functions)
            if unit is None or known[id(unit)] or not found.isdisjoint(self.children.get(key, ())):
                found.add(key)
        return frozenset(found)

    def called_between(self, key: Activation, start: int, end: int) -> list[Activation]:
        """The calls of the program's functions that happen while one line runs, those in its comprehensions
        and lambdas among them."""
        result = []
        for child in self.children.get(key, ()):
            if start <= self.calls[child][0] <= end:
                unit = self.unit(child)
                if unit is not None and not isinstance(unit.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    result += self.called_between(child, start, end)
                else:
                    result.append(child)
        return result


def outside_names(program: Program) -> dict[str, Any]:
    """Names of the module that are known: builtins, constants that are bound once, modules in ``MODULES``."""
    bound: dict[str, list[Any]] = {}
    for node in program.tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                known = Module(alias.name) if alias.name in MODULES else None
                bound.setdefault((alias.asname or alias.name).split(".")[0], []).append(known)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names = MODULES.get(node.module or "", {})
                bound.setdefault(alias.asname or alias.name, []).append(names.get(alias.name))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                bound.setdefault(target.id, []).append(node.value.value)
        else:
            for name in stored_names([node]):
                bound.setdefault(name, []).append(None)
    for inner in ast.walk(program.tree):
        if isinstance(inner, ast.Global):
            for name in inner.names:
                bound.setdefault(name, []).append(None)
    if "*" in bound:
        return {}
    constants = {
        name: values[0] for name, values in bound.items() if len(values) == 1 and values[0] is not None
    }
    return {name: value for name, value in BUILTINS.items() if name not in bound} | constants


def stored_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that statements bind, without those of functions and classes in them (but their own names)."""
    names: set[str] = set()
    pending: list[ast.AST] = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            continue
        elif isinstance(node, ast.Lambda):
            continue
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
        pending += ast.iter_child_nodes(node)
    return names
