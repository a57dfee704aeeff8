"""The proposer that needs no model: program repair by search.

``Search`` looks for small edits that make failing tests pass (``docs/offline.md``);
``OfflineProposer`` hands them to the loop one at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.offline.proposer import OfflineProposer
    from agent.offline.search import Budget, Candidate, Report, Search

__all__ = ["Budget", "Candidate", "OfflineProposer", "Report", "Search"]


def __getattr__(name: str) -> Any:
    """Load on first use: libcst is slow to import, and most commands do without it."""
    if name == "OfflineProposer":
        from agent.offline import proposer

        return proposer.OfflineProposer
    if name in __all__:
        from agent.offline import search

        return getattr(search, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
