"""The command line. Each command is one thin module; what it does is elsewhere."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130


def main() -> None:
    """The ``fixbug`` command. Exit status: 0 a verified fix, 1 no fix, 2 wrong usage, 3 the environment.

    Whatever ends it is said once, in a line on standard error; with ``--json`` there is one object on
    standard output all the same.
    """
    stop = _Stop()
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    status = _run(sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM):  # all is said and cleared: the status stays what it is
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


class _Stop:
    """Ctrl-C, or being told to end: what runs is cleared away first, which an impatient second press must
    not cut short. The third one does."""

    def __init__(self) -> None:
        self._asked = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1
        if self._asked != 2:
            raise KeyboardInterrupt
        os.write(2, b"fixbug: clearing away what runs; once more to end at once\n")


def _run(arguments: list[str]) -> int:
    """The exit status."""
    from typer import TyperException

    from agent.cli.app import app
    from agent.errors import FixbugError

    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    json = "--json" in own
    try:
        # Typer takes Ctrl-C for itself, and gives back the status that it would have ended with.
        status = app(arguments or ["--help"], prog_name="fixbug", standalone_mode=False)
        if not arguments:
            return 2
        if status != INTERRUPTED:
            return int(status or 0)
        raise KeyboardInterrupt
    except FixbugError as error:
        return _failed(json, error.exit_status, type(error).__name__, error.problem, error.cure)
    except TyperException as error:
        said = error.format_message().strip()
        return _failed(json, 2, "UsageError", said, "fixbug --help shows what there is")
    except KeyboardInterrupt:
        cure = (
            "nothing was left running; a run goes on with fixbug --resume RUN, a batch with the same command"
        )
        return _failed(json, INTERRUPTED, "Interrupted", "stopped", cure)
    except OSError as error:
        said = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
        return _failed(json, FixbugError.exit_status, type(error).__name__, said, "")
    except Exception as error:
        import traceback

        traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
        cure = "this is a defect of fixbug's own: please report it with the lines above"
        return _failed(json, FixbugError.exit_status, type(error).__name__, said, cure)


def _failed(json: bool, status: int, kind: str, problem: str, cure: str) -> int:
    print(f"fixbug: {problem}", file=sys.stderr)
    if cure:
        print(f"  → {cure}", file=sys.stderr)
    if json:
        from json import dumps

        error = {"type": kind, "problem": problem, "cure": cure}
        print(dumps({"status": "error", "exit_status": status, "error": error}, indent=2))
    return status
