"""The chat simulator: any chat model, asked for a trace of every line, or for the states at named lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from agent.errors import ContextTooLong, ModelError
from agent.llm import Model
from agent.world.checking.check import Checked, check_files
from agent.world.checking.mend import mended
from agent.world.simulate import Prediction, no_answer
from agent.world.simulators.answer import DENSE_SCHEMA, LINES_SCHEMA, parse_prediction
from agent.world.simulators.named_lines import MAX_TIMES, NamedLine, named_lines
from agent.world.simulators.scene import Scene, numbered
from agent.world.trace import Frame
from prompts import render

MAX_FRAMES = 200
"""Of one answer. What takes more is told by its key lines."""
MAX_AGAIN = 2
"""How often a sample is asked for again where checking contradicts it."""

Asking = Literal["dense", "lines"]


@dataclass(frozen=True)
class ChatSimulator:
    """Asks a chat model, once a sample, and again where checking contradicts an answer.

    ``asking``: for every line, or at named lines only, which is cheaper. ``structured`` passes a JSON schema
    to servers that honour one. ``repair``: an answer that is contradicted is put right and gone on from,
    rather than thrown away.
    """

    model: Model
    asking: Asking = "dense"
    temperature: float | None = 0.8
    max_tokens: int | None = 8000
    structured: bool = True
    repair: bool = False

    @property
    def label(self) -> str:
        """``chat:<model>``, or ``chat-lines:<model>``."""
        return f"{'chat' if self.asking == 'dense' else 'chat-lines'}:{self.model.name}"

    def simulate(self, scene: Scene, *, runs: int, samples: int) -> list[Prediction]:
        """Independent samples of one blind prompt. A model that fails gives a prediction that is not
        complete.

        Budget errors pass through.
        """
        result = []
        for sample in range(1, samples + 1):
            try:
                result.append(self.predict(scene, runs=runs, sample=sample))
            except (ModelError, ContextTooLong) as error:
                why = f"no answer: {error.problem}"
                result.append(no_answer(scene, why, sample=sample, label=self.label, runs=runs))
        return result

    def predict(self, scene: Scene, *, runs: int, sample: int = 1) -> Prediction:
        """One sample. Raises ``ModelError`` (and below) and ``BudgetExhausted``."""
        given: tuple[Frame, ...] = ()
        resampled = repaired = 0
        while True:
            read, checked = self._ask(scene, runs, sample, given)
            read = replace(read, resampled=resampled, repaired=repaired)
            contradicted = checked is not None and checked.verdict == "wrong"
            if not (contradicted or (read.illegal and read.complete)):
                return read
            if resampled + repaired == MAX_AGAIN:
                said = read.findings[0] if read.findings else ""
                return replace(read, illegal=read.illegal or said)
            if self.repair and checked is not None and contradicted:
                frames = [frame for frame in read.trace.frames if frame.event != "probe"]
                given = mended(frames, checked.findings)
                repaired += 1
            else:
                resampled += 1

    def _ask(
        self, scene: Scene, runs: int, sample: int, given: Sequence[Frame]
    ) -> tuple[Prediction, Checked | None]:
        places = named_lines(scene) if self.asking == "lines" else ()
        schema = LINES_SCHEMA if places else DENSE_SCHEMA
        completion = self.model.complete(
            [{"role": "user", "content": simulation_prompt(scene, runs, places, given, self.structured)}],
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            json_schema=schema if self.structured else None,
        )
        read = parse_prediction(
            completion.text, scene, runs=runs, sample=sample, label=self.label, asked=places, given=given
        )
        if completion.finish_reason == "length":
            forgiven = (*read.forgiven, "the answer is cut off (length)")
            read = replace(read, complete=False, forgiven=forgiven)
        if not read.dense:
            return read, None
        checked = check_files(read.trace, scene.texts, complete=read.complete)
        findings = tuple(finding.text for finding in checked.findings)
        return replace(read, checked=checked.verdict, findings=findings), checked


def simulation_prompt(
    scene: Scene,
    runs: int,
    places: Sequence[NamedLine] = (),
    given: Sequence[Frame] = (),
    structured: bool = False,
) -> str:
    """The prompt of a simulation. It holds no expected value: see docs/world-model.md.

    ``places``: the named lines that are asked about; none: every line. ``given``: frames that are certain.
    """
    probed = scene.probed
    example: Any = [{"name": "name", "value": "'repr'"}] if structured else {"name": "'repr'"}
    return render(
        "simulate.md.j2",
        runs=runs,
        path=probed.path,
        test=numbered(tuple(enumerate(probed.blind.splitlines(), 1))),
        functions=[
            {
                "path": f.path,
                "qualname": f.qualname,
                "context": numbered(f.context),
                "source": numbered(f.lines),
            }
            for f in scene.functions
        ],
        deeper=[f"`{name}` ({path})" for path, name in scene.deeper],
        sighted=numbered(tuple(enumerate(scene.sighted.splitlines(), 1))),
        questions=[f"{probe.id}: {probe.question}" for probe in probed.probes],
        places=[f"{place.id}: {place.question} ({place.path})" for place in places],
        locals_example=json.dumps(example),
        locals_none="[]" if structured else "{}",
        example_path=scene.functions[0].path if scene.functions else probed.path,
        max_frames=MAX_FRAMES,
        max_times=MAX_TIMES,
        given="\n".join(json.dumps(_row(frame), ensure_ascii=False) for frame in given),
    )


def _row(frame: Frame) -> dict[str, Any]:
    row: dict[str, Any] = {"event": frame.event, "function": frame.function, "line": frame.line}
    row |= {"run": frame.run, "call": frame.visit}
    if frame.locals:
        row["locals"] = {name: value for name, value in frame.locals.items() if value is not None}
    return row if frame.value is None else row | {"value": frame.value}
