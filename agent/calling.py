"""A model predicts one call: the question is put to it in any of the formats, and its answer read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agent.errors import UsageError
from agent.simulation import Asked, Sample, checked_sample
from agent.simulators import SimulatingModel
from agent.world.simulators.chat import ChatSimulator
from agent.world.simulators.native import Teller
from agent.world.simulators.one_call import call_scene, enter_call, in_file, with_result
from agent.world.simulators.one_run import CannotEnterError
from agent.world.simulators.recorded import Recorded
from agent.world.simulators.scene import Scene


def predict_call(asked: Asked, text: str, model: SimulatingModel, *, samples: int) -> Iterator[Sample]:
    """Independent samples, each checked. ``text``: the file's. Nothing has run when they are made.

    Raises ``ModelError`` (and below) and ``BudgetExhausted``; ``UsageError`` for a source that cannot be put
    to the model.
    """
    scene = call_scene(text, asked.program.path, asked.function, asked.call)
    if model.format in ("chat", "lines"):
        chat = model.simulator()
        assert isinstance(chat, ChatSimulator)
        for number in range(1, samples + 1):
            yield checked_sample(asked, _chat(asked, chat, scene, number))
        return
    teller = model.teller()
    for _ in range(samples):
        yield checked_sample(asked, _told(asked, teller, scene, model.format))


def _chat(asked: Asked, simulator: ChatSimulator, scene: Scene, number: int) -> Recorded:
    read = simulator.predict(scene, runs=1, sample=number)
    trace = with_result(read.trace, asked.program)
    strange = {0: read.illegal} if read.illegal and not read.dense else {}
    said = any(f.event == "return" and f.function == asked.entry for f in trace.frames)
    forgiven = (*read.forgiven, *(() if said else ("it does not say what the call gives",)))
    kind = "chat" if simulator.asking == "dense" else "lines"
    return Recorded(
        kind, trace, read.complete and said, read.dense, strange, forgiven, read.resampled, read.repaired
    )


def _told(asked: Asked, teller: Teller, scene: Scene, kind: str) -> Recorded:
    try:
        entry = enter_call(scene, asked.call, asked.program)
    except CannotEnterError as error:
        raise UsageError(
            f"the call cannot be put into CWM's form: {error}", cure="ask with --format chat"
        ) from error
    told = teller.tell(entry.program, entry.source)
    reading = in_file(told.reading, entry, asked.program)
    forgiven = reading.forgiven
    if not reading.trace.frames or (not reading.complete and len(reading.trace.frames) <= 1):
        forgiven = (*forgiven, "the answer is no trace")
    if kind == "cwm-single":
        reading = replace(reading, strange={})
    return Recorded(
        kind, reading.trace, reading.complete, kind != "cwm-single", reading.strange, forgiven,
        told.resampled, told.repaired,
    )  # fmt: skip
