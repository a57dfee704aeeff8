"""Grades that are kept: what they depend on, what spoils them, and several processes at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.errors import FixbugError
from agent.scale.scoring.grades import GradeStore, grade_key
from sandbox import Limits
from sandbox.scoring import Hardened, Score

ROW: dict[str, Any] = {
    "instance_id": "a__b-1", "repo": "a/b", "version": "1", "FAIL_TO_PASS": ["t"], "PASS_TO_PASS": [],
    "log_parser": "p", "eval_type": "pass_and_fail", "eval_script": "true", "problem_statement": "x",
}  # fmt: skip
SCORE = Score(
    True,
    "swebench",
    ("t",),
    log="out\udcff",
    detail={"applied": True, "report": {"infra_failure": False}},
    hardened=Hardened(False, logs={"control": "c"}),
)


def key(row: dict[str, Any] = ROW, patch: str = "p", image: str = "sha256:1", timeout: float = 60) -> str:
    return grade_key(row, patch, image_id=image, timeout=timeout, limits=Limits())


def test_what_a_grade_depends_on() -> None:
    """Catches a verdict given to another patch, row, image or limit, and one graded twice for nothing."""
    others = [
        key(patch="p\n"), key(image="sha256:2"), key(timeout=61), key({**ROW, "FAIL_TO_PASS": ["u"]}),
        key({**ROW, "eval_script": "false"}), key({**ROW, "instance_id": "a__b-2"}),
    ]  # fmt: skip
    assert len({key(), *others}) == 7
    assert key({**ROW, "problem_statement": "y", "image": "z", "FAIL_TO_PASS": '["t"]'}) == key()


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    """Catches a field that is lost on the way, and logs that cannot be written."""
    store = GradeStore(tmp_path)
    assert store.get(key()) is None
    put = store.put(key(), SCORE)
    assert GradeStore(tmp_path).get(key()) == put
    assert (put["resolved"], put["hardened"]["resolved"], put["passed"]) == (True, False, ["t"])
    assert sorted(path.name for path in store.logs(key()).iterdir()) == [
        "control.log.gz", "grade.json", "official.log.gz",
    ]  # fmt: skip


@pytest.mark.parametrize("spoil", ["cut", "empty", "changed", "of another key", "gone"])
def test_a_broken_entry_is_graded_again(tmp_path: Path, spoil: str) -> None:
    """Catches a half-written or tampered entry being believed, or standing in the way of a good one."""
    store = GradeStore(tmp_path)
    put = store.put(key(), SCORE)
    path = store.logs(key()) / "grade.json"
    text = path.read_text()
    changed = {
        "cut": text[: len(text) // 2],
        "empty": "",
        "changed": text.replace('"resolved": true', '"resolved": false', 1),
        "of another key": text.replace(key(), key(patch="q")),
    }
    path.unlink() if spoil == "gone" else path.write_text(changed[spoil])
    assert store.get(key()) is None
    assert store.put(key(), SCORE) == put == store.get(key())


def test_a_key_is_graded_by_one_process_at_a_time(tmp_path: Path) -> None:
    """Catches two processes grading the same, and a lock that outlives the process that was killed."""
    code = (
        "import sys, time; from pathlib import Path; from agent.scale.scoring.grades import GradeStore\n"
        f"with GradeStore(Path({str(tmp_path)!r})).lock({key()!r}):\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    root = Path(__file__).resolve().parents[4]
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        got = threading.Event()

        def take() -> None:
            with GradeStore(tmp_path).lock(key()):
                got.set()

        waiter = threading.Thread(target=take)
        waiter.start()
        assert not got.wait(0.3)
        other.send_signal(signal.SIGKILL)
        assert got.wait(60)
        waiter.join()
    finally:
        other.kill()
        other.communicate()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Catches a batch that runs for hours before it finds that it can keep nothing."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FixbugError, match="cannot be kept") as caught:
        GradeStore(tmp_path / "file" / "grades")
    assert "--cache" in caught.value.cure


def test_the_entry_says_what_it_is_for(tmp_path: Path) -> None:
    """Catches an entry that nobody can check: it names its key and its own digest."""
    store = GradeStore(tmp_path)
    store.put(key(), SCORE)
    entry = json.loads((store.logs(key()) / "grade.json").read_text())
    assert entry["key"] == key()
    assert len(entry["sha256"]) == 64
