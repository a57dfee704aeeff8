"""Temporary folders for checkouts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.workspace import sweep, workspace

LEFT = """
import os, signal
from agent.workspace import workspace
with workspace() as place:
    (place / "checkout").write_text("x" * 100)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that stays for ever after each kill; the folder of a live process or a stranger removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    subprocess.run([sys.executable, "-c", LEFT], env={"TMPDIR": str(tmp_path)}, cwd=Path.cwd(), check=False)
    (left,) = tmp_path.iterdir()
    stranger = tmp_path / "fixbug-work-of-mine"
    stranger.mkdir()
    with workspace() as place:
        (place / "checkout").mkdir()
        sweep(tmp_path)
        assert (place / "checkout").is_dir()
        assert not left.exists()
    assert list(tmp_path.iterdir()) == [stranger]
