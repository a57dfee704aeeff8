"""``fixbug replay``: the turns come from a record, all else happens."""

from __future__ import annotations

import json

from tests.agent import player as p
from tests.agent.cli.conftest import Fixbug
from tests.openai_server import call, serve

ISSUE = ("--issue", "issue.md", "--repo", "shop", "--test", p.TEST, "--sandbox", "local")
HIDDEN = ("--hidden-tests", str(p.EXAMPLE / "hidden_tests"))


def test_a_run_of_our_own(fixbug: Fixbug) -> None:
    """A trajectory that does not lead to the same patch when it is replayed, or that needs its endpoint."""
    look = call("bash", {"command": "cat shop/catalogue.py"}, id="call_look")
    player = p.Player([p.act(look), p.act(p.FIX), p.act(p.PROPOSE)], [p.simulation("300", "450")] * 2)
    with serve(player) as server:
        first = fixbug(*ISSUE, *HIDDEN, "--model", "some", "--base-url", server.base_url, "--json")
    assert first.status == 0, first.err
    ran = first.object()
    assert (ran["status"], ran["score"]["resolved"], ran["verdict"]) == ("verified", True, "understood fix")
    again = fixbug("replay", ran["paths"]["attempt"], *ISSUE, *HIDDEN, "--json")
    assert again.status == 0, again.err
    replayed = again.object()
    assert replayed["patch"] == ran["patch"]
    assert replayed["proposer"]["record"] == {**replayed["proposer"]["record"], "same_patch": True}
    assert replayed["cost"]["tokens"] == 0
    assert len(fixbug.runs()) == 2


def test_a_session_of_mini_swe_agent(fixbug: Fixbug) -> None:
    """One bash block a turn, a submission by its sentinel line, and a score for people to read."""
    edit = f"sed -i '/_changes.append/i \\{p.FORGOTTEN.rstrip()}' shop/catalogue.py"
    said = ["cat shop/catalogue.py", edit, "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && git diff"]
    messages = [{"role": "system", "content": "You fix bugs."}, {"role": "user", "content": "Fix it."}]
    for command in said:
        messages.append({"role": "assistant", "content": f"THOUGHT: next.\n\n```bash\n{command}\n```"})
        messages.append({"role": "user", "content": "<returncode>0</returncode>"})
    session = fixbug.folder / "session.traj.json"
    session.write_text(json.dumps({"info": {"exit_status": "Submitted"}, "messages": messages}))
    done = fixbug("replay", "session.traj.json", *ISSUE, *HIDDEN)
    assert done.status == 0, done.err
    assert "Fixed, and verified" in done.out
    assert "hidden tests" in done.out
    (run,) = fixbug.runs()
    (outcome,) = run.glob("*/1/attempt.json")
    assert json.loads(outcome.read_text())["score"]["resolved"]


def test_a_record_that_ends_early(fixbug: Fixbug) -> None:
    """A session that was cut off and is waited for, or counted as a fix."""
    session = fixbug.folder / "session.traj.json"
    turn = {"role": "assistant", "content": "```bash\nls\n```"}
    session.write_text(json.dumps({"messages": [turn]}))
    done = fixbug("replay", str(session), *ISSUE, "--json")
    assert done.status == 1, done.err
    outcome = done.object()
    assert (outcome["status"], outcome["ended"]) == ("no_patch", "the record has no further turn")
    assert (fixbug.folder / outcome["paths"]["attempt"] / "attempt.json").is_file()
