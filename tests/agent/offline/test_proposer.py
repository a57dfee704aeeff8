"""The search as the loop's proposer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.offline import Budget, OfflineProposer
from agent.proposer import Brief
from sandbox import Sandbox

CLAMP = """
def clamp(value, low, high):
    if value < low:
        return low
    if value > high:
        return low
    return value
"""
CLAMP_TEST = "from clamp import clamp\n\n\ndef test_clamp():\n    assert clamp(3, 1, 2) == 2\n    assert clamp(0, 1, 2) == 1\n"  # noqa: E501


def test_the_proposer_takes_the_next_candidate_after_a_rejection(
    open_repository: Callable[[Mapping[str, str]], Sandbox],
) -> None:
    """A later stage rejects a patch; the proposer must not offer it again."""
    box = open_repository({"clamp.py": CLAMP, "test_clamp.py": CLAMP_TEST})
    proposer = OfflineProposer(Budget(candidates=1500, seconds=30))
    brief = Brief("clamp returns low", ("test_clamp.py::test_clamp",), (), "")
    first = proposer.propose(box, brief, None)
    second = proposer.propose(box, brief, "rejected")
    assert first is not None
    assert second is None or second.patch != first.patch
    assert box.diff() == ""
    assert "tried" in proposer.summary()
