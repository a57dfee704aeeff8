"""Who looks on while tests run: nobody, the tracer, or a recorder of executed lines."""

import builtins
import types
from typing import Any, Callable, Dict


class NoWatcher:
    """Watches nothing."""

    def start(self, run: int, test: str) -> None:
        pass

    def stop(self) -> None:
        pass

    def outcome(self, run: int, outcome: str, message: str) -> None:
        pass

    def close(self) -> str:
        """End it; what there is to be said about it."""
        return ""


class TraceWatcher(NoWatcher):
    """Records a trace; the outcome of a run is the worst of its tests'. A program that puts an end to the
    tracer goes on without it."""

    def __init__(self, tracer: Any) -> None:
        self.tracer = tracer
        self.active = False
        self.broken = ""

    def start(self, run: int, test: str) -> None:
        if not self.broken:
            self.active = True
            self.attempt(lambda: self.tracer.start(run))

    def stop(self) -> None:
        if self.active:
            self.active = False
            self.attempt(self.tracer.stop)

    def outcome(self, run: int, outcome: str, message: str) -> None:
        self.attempt(lambda: self.tracer.outcome(run, outcome, message))

    def close(self) -> str:
        if not self.broken:  # a record without an end says that it was cut
            self.attempt(self.tracer.close)
        return self.broken and "the program put an end to the tracer (%s)" % self.broken

    def attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self.tracer.on = False
            self.broken = self.broken or "%s: %s" % (type(error).__name__, error)


class LineWatcher(NoWatcher):
    """Records which lines each test executes."""

    def __init__(self, lines: Any) -> None:
        self.lines = lines

    def start(self, run: int, test: str) -> None:
        self.lines.start(test)

    def stop(self) -> None:
        self.lines.stop()

    def close(self) -> str:
        self.lines.close()
        return ""


def watcher_for(config: Dict[str, Any], test: str, script: Any) -> NoWatcher:
    """The watcher that the mode asks for. ``script``: the file whose module body is traced too, or None."""
    if config["mode"] not in ("trace", "lines"):
        return NoWatcher()
    module = types.ModuleType("_fixbug_tracer")
    module.__dict__["__builtins__"] = dict(vars(builtins))
    exec(compile(config["tracer"], "<fixbug tracer>", "exec"), module.__dict__)
    if config["mode"] == "lines":
        return LineWatcher(module.Lines(config["root"], config["record"]))
    tracer = module.Tracer(
        config["root"],
        config["record"],
        test=test,
        runs=config["runs"],
        functions=config["functions"],
        script=script,
        max_frames=config["max_frames"],
        max_seconds=config["max_seconds"],
    )
    return TraceWatcher(tracer)
