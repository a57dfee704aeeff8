"""Code World Models as simulators, against a server that traces by running: native format, and chat form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.errors import ContextTooLong, UsageError
from agent.llm.budget import Budget
from agent.llm.client import ChatModel
from agent.llm.completions import CompletionsModel
from agent.llm.settings import load_settings
from agent.world.questions.probes import probe_test
from agent.world.simulators.code_world_model import CwmSimulator
from agent.world.simulators.native import ChatFormTeller, NativeTeller, Teller, Way
from agent.world.simulators.scene import Scene, build_scene
from agent.world.trace import Frame, Trace
from tests.agent.world.simulators.cwm_server import CodeWorldModel, decoder
from tests.openai_server import OpenAIServer, context_length_exceeded, serve

CODE = """\
class Shelf:
    seen = {}

    def __init__(self, factor):
        self.factor = factor

    def price(self, name):
        if name not in self.seen:
            self.seen[name] = len(name) * self.factor
        return self.seen[name]


def total(shelf, names):
    result = 0
    for name in names:
        result = result + shelf.price(name)
    if result < 0:
        raise ValueError(result)
    return result
"""
TEST = """\
import pytest
from shelf import Shelf, total


@pytest.fixture
def shelf():
    return Shelf(3)


def test_total(shelf):
    assert total(shelf, ["tea", "mug"]) == 917345
    shelf.factor = -5
    assert shelf.price("tea") == 917345
    with pytest.raises(KeyError):
        total(shelf, ["sugar"])
"""
PROBED = probe_test("test_shelf.py", TEST, "test_shelf.py::test_total")
BEFORE = Trace(tuple(Frame("call", name, "shelf.py", 1) for name in ("total", "Shelf.price")))


def scene() -> Scene:
    return build_scene(PROBED, {"shelf.py": CODE}, BEFORE)


@contextmanager
def told_by(
    model: CodeWorldModel, way: Way | str, *, encode: object = None, repair: bool = False
) -> Iterator[tuple[CwmSimulator, Budget, OpenAIServer]]:
    with serve(model) as server:
        settings = load_settings(model="cwm", base_url=server.base_url, max_retries=1)
        budget = Budget()
        chat = ChatModel(settings, budget, sleep=lambda s: None)
        endpoint = CompletionsModel(settings, budget, sleep=lambda s: None)
        teller: Teller = ChatFormTeller(chat, repair=repair)
        if way != "chat":
            teller = NativeTeller(endpoint, way, encode, repair)  # type: ignore[arg-type]
        yield CwmSimulator(teller, single=way == "single"), budget, server
        chat.close()
        endpoint.close()


def answers(trace: Trace) -> list[tuple[int, str, str]]:
    return [(f.run, f.probe or "", f.value or "") for f in trace.frames if f.event == "probe"]


TRUE = [
    (1, "p1", "18"), (1, "p2", "9"), (1, "p3", "ValueError(-25)"),
    (2, "p1", "18"), (2, "p2", "9"), (2, "p3", "ValueError(-25)"),
]  # fmt: skip


@pytest.mark.parametrize("way", ["full", "steps", "single", "chat"])
@pytest.mark.parametrize("strip", [False, True])
def test_every_way_reads_the_answers_of_both_runs(way: str, strip: bool) -> None:
    """Would catch a question that is lost on the way into or out of CWM's form, runs taken for one, and a
    server that leaves special tokens out."""
    model = CodeWorldModel(strip=strip)
    with told_by(model, way) as (simulator, budget, _):
        first, *more = simulator.simulate(scene(), runs=2, samples=1 if way == "steps" else 2)
    assert answers(first.trace) == TRUE
    assert [o.outcome for o in first.trace.outcomes] == ["passed", "passed"]
    assert first.complete
    assert not first.illegal
    assert first.checked == ("" if way == "single" else "consistent")
    assert [read.sample for read in more] == ([] if way == "steps" else [2])
    assert budget.snapshot()["requests"] == len(model.prompts)
    assert not any("917345" in prompt for prompt in model.prompts)


def test_frames_are_those_of_the_files() -> None:
    """Would catch lines of the made-up source in a trace, which no observed one could be compared with."""
    with told_by(CodeWorldModel(), "full") as (simulator, _, _):
        (read,) = simulator.simulate(scene(), runs=2, samples=1)
    calls = [f for f in read.trace.frames if f.event == "call" and f.function == "Shelf.price"]
    assert [(f.file, f.line, f.run, f.visit) for f in calls] == [
        ("shelf.py", 7, run, visit) for run in (1, 2) for visit in (1, 2, 3, 4)
    ]
    test = [f for f in read.trace.frames if f.function == "test_total" and f.event == "line"]
    assert {f.file for f in test} == {"test_shelf.py"}
    assert test[0].line == 11
    assert not {f.function for f in read.trace.frames} & {
        "main",
        "run_test",
        "probe",
        "probe_raises.__exit__",
    }


def test_a_test_that_fails_is_no_end_of_the_next_run() -> None:
    """Would catch an exception of the first run that ends both."""
    source = "from shelf import total\ndef test_a():\n    total(None, [1])\n"
    probed = probe_test("test_a.py", source, "test_a.py::test_a")
    with told_by(CodeWorldModel(), "full") as (simulator, _, _):
        (read,) = simulator.simulate(build_scene(probed, {"shelf.py": CODE}, BEFORE), runs=2, samples=1)
    assert [(o.run, o.outcome) for o in read.outcomes] == [(1, "failed"), (2, "failed")]
    assert "AttributeError" in read.outcomes[0].message
    assert read.complete


def test_what_is_sent() -> None:
    """Would catch a prompt without its seed, special tokens that the server hides, no stop."""
    with told_by(CodeWorldModel(), "full") as (simulator, _, server):
        simulator.simulate(scene(), runs=1, samples=1)
        (request,) = server.requests
    assert request["prompt"].startswith("<|begin_of_text|><|trace_context_start|># shelf.py")
    seeded = "<|frame_sep|><|call_sep|>{}<|action_sep|>def main():\n<|frame_sep|>"
    assert request["prompt"].endswith(seeded)
    assert request["skip_special_tokens"] is False
    assert request["stop_token_ids"] == [128001]
    assert (request["temperature"], request["top_p"], request["max_tokens"]) == (0.3, 0.95, 8192)


def test_token_ids_where_there_is_a_tokenizer() -> None:
    """Would catch special tokens that go through the tokenizer as text, and a server that takes no ids."""
    pieces: list[str] = []
    encode, decode = decoder(pieces)
    with told_by(CodeWorldModel(decode=decode), "full", encode=encode) as (simulator, _, server):
        (read,) = simulator.simulate(scene(), runs=2, samples=1)
    assert answers(read.trace) == TRUE
    assert server.requests[0]["prompt"][:2] == [128000, 128107]
    assert not any("<|" in piece for piece in pieces)
    with told_by(CodeWorldModel(), "full", encode=encode) as (simulator, _, server):
        reads = simulator.simulate(scene(), runs=2, samples=2)
    assert [answers(read.trace) for read in reads] == [TRUE, TRUE]
    assert [isinstance(r["prompt"], str) for r in server.requests] == [False, True, True]


def test_parameters_that_a_server_refuses_are_left_out() -> None:
    """Would catch a server of OpenAI's own protocol that cannot be asked at all."""
    refused = ("skip_special_tokens", "stop_token_ids", "add_special_tokens")
    with told_by(CodeWorldModel(refuses=refused), "full") as (simulator, _, server):
        (read,) = simulator.simulate(scene(), runs=2, samples=1)
    assert answers(read.trace) == TRUE
    assert not set(refused) & set(server.requests[-1])


def _wrong(number: int, answer: str) -> str:
    """A sum that begins with 1."""
    return answer.replace('"result": "0"', '"result": "1"') if number == 1 else answer


@pytest.mark.parametrize("way", ["full", "chat"])
def test_a_contradiction_is_asked_again(way: str) -> None:
    """Would catch a trace that checking contradicts being believed, and one that is asked for without end."""
    with told_by(CodeWorldModel(_wrong), way) as (simulator, _, _):
        (read,) = simulator.simulate(scene(), runs=1, samples=1)
    assert (read.resampled, read.repaired, read.checked, read.illegal) == (1, 0, "consistent", "")
    stubborn = CodeWorldModel(lambda number, answer: _wrong(1, answer))
    with told_by(stubborn, way) as (simulator, _, _):
        (read,) = simulator.simulate(scene(), runs=1, samples=1)
    assert (read.resampled, read.checked, stubborn.answered) == (2, "wrong", 3)
    assert "expected result = 0" in read.illegal


def test_a_contradiction_is_put_right() -> None:
    """Would catch a repair that gives the model its own mistake, or the rest of the wrong trace."""
    model = CodeWorldModel(_wrong)
    with told_by(model, "full", repair=True) as (simulator, _, _):
        (read,) = simulator.simulate(scene(), runs=2, samples=1)
    assert (read.resampled, read.repaired, read.checked) == (0, 1, "consistent")
    assert answers(read.trace) == TRUE
    assert '"result": "0"' in model.prompts[1]
    assert '"result": "1"' not in model.prompts[1]


def test_each_step_is_checked() -> None:
    """Would catch a wrong frame that is only noticed at the end, or that ends the trace."""
    for repair in (False, True):
        seen: list[str] = []

        def once(number: int, answer: str, seen: list[str] = seen) -> str:
            spoilt = _wrong(1, answer)
            if spoilt != answer and not seen:
                seen.append(answer)
                return spoilt
            return answer

        with told_by(CodeWorldModel(once), "steps", repair=repair) as (simulator, _, _):
            (read,) = simulator.simulate(scene(), runs=1, samples=1)
        assert seen
        assert (read.resampled, read.repaired) == ((0, 1) if repair else (1, 0))
        assert answers(read.trace) == TRUE[:3]
        assert read.complete


@pytest.mark.parametrize("way", ["full", "steps", "single", "chat"])
@pytest.mark.parametrize("kind", ["prose", "nothing", "half", "cut"])
def test_what_is_no_trace_is_unknown(way: str, kind: str) -> None:
    """Would catch prose, silence or half a trace as a pass."""

    def spoil(number: int, answer: str) -> str:
        half = answer[: len(answer) // 2]
        return {"prose": "I think that it works.", "nothing": "", "half": half, "cut": half + "[cut]"}[kind]

    with told_by(CodeWorldModel(spoil), way) as (simulator, _, _):
        (read,) = simulator.simulate(scene(), runs=2, samples=1)
    assert not read.complete


def test_a_prompt_that_is_too_long_is_said() -> None:
    """Would catch an endless retry, or a cut prompt whose answer is believed."""
    with serve([context_length_exceeded()] * 9) as server:
        settings = load_settings(model="cwm", base_url=server.base_url)
        endpoint = CompletionsModel(settings)
        simulator = CwmSimulator(NativeTeller(endpoint))
        (read,) = simulator.simulate(scene(), runs=2, samples=1)
        assert "longer than cwm takes" in read.forgiven[0]
        assert not read.complete
        assert len(server.requests) == 1
        with pytest.raises(ContextTooLong):
            simulator.predict(scene(), runs=2)
        endpoint.close()


def test_a_source_with_a_token_in_it_is_not_sent() -> None:
    """Would catch a program that could end its own context and write its own trace."""
    code = CODE.replace("result = 0", "result = len('<|frame_sep|>') * 0")
    with told_by(CodeWorldModel(), "full") as (simulator, _, server):
        (read,) = simulator.simulate(build_scene(PROBED, {"shelf.py": code}, BEFORE), runs=2, samples=1)
        assert server.requests == []
    assert "<|frame_sep|>" in read.forgiven[0]
    with pytest.raises(UsageError):
        simulator.predict(build_scene(PROBED, {"shelf.py": code}, BEFORE), runs=1)


def test_comprehensions_are_part_of_their_line() -> None:
    """Would catch frames that no tracer of ours records being called a divergence."""
    source = (
        "from shelf import total\n\ndef test_a():\n    assert [total(None, []) for _ in (1, 2)] == [5, 5]\n"
    )
    probed = probe_test("test_a.py", source, "test_a.py::test_a")
    with told_by(CodeWorldModel(), "full") as (simulator, _, _):
        (read,) = simulator.simulate(build_scene(probed, {"shelf.py": CODE}, BEFORE), runs=1, samples=1)
    assert answers(read.trace) == [(1, "p1", "[0, 0]")]
    assert not any("<listcomp>" in f.function for f in read.trace.frames)
