"""A batch whose environment fails in the middle: tried again within bounds, never taken for an answer."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import IntakeError
from agent.scale.scoring.grades import GradeStore
from agent.scale.scoring.grading import Graded, Grading, grade, select
from agent.scale.scoring.predictions import Prediction
from tests.sandbox.scoring.instance import GOLD, build_image, make_row

if TYPE_CHECKING:
    from docker import DockerClient

NAME = "example__twice-1"


@pytest.mark.docker
@pytest.mark.parametrize("kills", [1, 9], ids=["once", "every time"])
def test_a_container_that_is_killed(
    docker_client: DockerClient, docker_image: str, tmp_path: Path, kills: int
) -> None:
    """Catches a patch that counts as unresolved because its container died, and trying for ever."""
    row = make_row(image=build_image(docker_client, docker_image))
    script = row["eval_script"].replace("git status\n", "[[ -e /tmp/go ]] || sleep 300.5\n")
    row = {**row, "eval_script": script}
    ended = threading.Event()
    killed: list[str] = []
    killer = threading.Thread(target=_disturb, args=(docker_client, row["image"], kills, killed, ended))
    killer.start()
    try:
        grading = Grading(GradeStore(tmp_path), workers=1, timeout=200, pauses=(0.0, 0.0))
        (found,) = grade({NAME: row}, [Prediction(NAME, GOLD)], grading, lambda text, passing: None)
    finally:
        ended.set()
        killer.join()
    if kills == 1:
        assert (found.status, found.official, found.hardened) == ("graded", True, True)
    else:
        assert (found.status, found.grade, len(killed)) == ("failed", None, 3)
        assert found.error is not None
        assert "no answer" in found.error.cure
        assert list(tmp_path.glob("*/*/grade.json")) == []


def _disturb(client: DockerClient, image: str, kills: int, killed: list[str], ended: threading.Event) -> None:
    """Kill so many of the containers that wait for it, then let the others go on."""
    from docker.errors import APIError

    while not ended.wait(0.1):
        for one in client.containers.list(
            filters={"ancestor": image, "label": "fixbug=1"}, ignore_removed=True
        ):
            with contextlib.suppress(APIError):
                if one.id in killed or b"sleep 300.5" not in one.exec_run("ps -eo args").output:
                    continue
                if len(killed) < kills:
                    one.kill()
                    killed.append(str(one.id))
                else:
                    one.exec_run(["bash", "-c", "pkill -f 'sleep 300.5'"])


def test_what_is_selected() -> None:
    """Catches equal patches graded twice, and instances that nobody asked for."""
    rows = [make_row(), make_row(instance_id="b")]
    wanted = [Prediction(NAME, "x", ("m",)), Prediction("b", "x"), Prediction(NAME, "x", ("n",))]
    needed, found = select(rows, wanted, (NAME,))
    assert list(needed) == [NAME]
    assert found == [Prediction(NAME, "x", ("m", "n"))]
    with pytest.raises(IntakeError, match="no prediction for c"):
        select(rows, wanted, ("c",))


def test_an_empty_patch_needs_no_engine(tmp_path: Path) -> None:
    """Catches a container, or a wait for one, for a patch that swebench does not run either."""
    grading = Grading(GradeStore(tmp_path), workers=2)
    found: list[Graded] = list(
        grade({NAME: make_row()}, [Prediction(NAME, " \n")], grading, lambda text, passing: None)
    )
    assert [(one.status, one.official, one.hardened) for one in found] == [("graded", False, False)]
