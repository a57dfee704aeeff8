"""GitHub issues, read from a real server on loopback."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import IntakeError, RemoteError
from agent.intake import load_task
from agent.intake.github import clone_token, fetch_issue, parse_issue_url
from tests.agent.intake.conftest import Answer, Server

Git = Callable[..., str]
ISSUE = "/repos/acme/shop/issues/7"
TOKEN = "ghp_plantedTokenThatMustNotLeak"


def answer(value: object, status: int = 200, **headers: str) -> Callable[[dict[str, str]], Answer]:
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda _: (status, sent, json.dumps(value).encode())


def comment(text: str, login: str = "ann", kind: str = "User") -> dict[str, object]:
    return {"body": text, "user": {"login": login, "type": kind}}


@pytest.fixture
def api(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("GITHUB_API_URL", server.url)
    server.answers[ISSUE] = answer({"title": "Stale price", "body": "Second call\r\nis old.", "comments": 0})
    return server


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/acme/shop/issues/7", ("https://github.com", "acme", "shop", 7)),
        (
            "https://www.github.com/acme/shop/issues/7/?x=1#issuecomment-3",
            ("https://github.com", "acme", "shop", 7),
        ),
        (
            "https://git.example.invalid:8443/a/b.c/issues/12",
            ("https://git.example.invalid:8443", "a", "b.c", 12),
        ),
    ],
)
def test_issue_urls(url: str, expected: tuple[str, str, str, int]) -> None:
    """Would catch URLs as browsers copy them being refused."""
    ref = parse_issue_url(url)
    assert (ref.origin, ref.owner, ref.repo, ref.number) == expected


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://github.com/acme/shop/pull/7", "pull request"),
        ("https://github.com/acme/shop", "repository and no issue"),
        ("https://github.com/acme/shop/issues", "not the URL of an issue"),
        ("https://github.com/acme/shop/issues/new", "no issue number"),
        ("https://github.com/acme/shop/issues/0", "no issue number"),
        ("https://gitlab.example.invalid/a/b/-/issues/3", "another forge"),
        ("https://user:pw@github.com/acme", "not the URL"),
        ("https://github.com/../shop/issues/1", "no GitHub repository"),
    ],
)
def test_what_is_no_issue_is_named(url: str, says: str) -> None:
    """Would catch a pull request being worked on as if it were an issue, and passwords in errors."""
    with pytest.raises(IntakeError, match=says) as caught:
        parse_issue_url(url)
    assert caught.value.exit_status == 2
    assert "pw" not in str(caught.value)


def test_title_body_and_all_pages_of_comments(api: Server) -> None:
    """Would catch comments beyond the first page being lost, and bots' being kept."""
    api.answers[ISSUE] = answer({"title": "Stale <!-- x -->price", "body": None, "comments": 3})
    second = f"{api.url}/page2"
    api.answers[f"{ISSUE}/comments?per_page=100"] = answer([comment("one")], Link=f'<{second}>; rel="next"')
    api.answers["/page2"] = answer([comment("beep", "ci", "Bot"), {"body": "two", "user": None}])
    found = fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7"))
    assert (
        found.text == "# Stale price\n\n## Comment by ann\n\none\n\n## Comment by a deleted account\n\ntwo\n"
    )
    assert len(found.notes) == 2


def test_a_next_page_elsewhere_is_not_followed(api: Server) -> None:
    """Would catch the token being sent to whatever host a page names."""
    api.answers[ISSUE] = answer({"title": "t", "body": "b", "comments": 200})
    api.answers[f"{ISSUE}/comments?per_page=100"] = answer(
        [comment("one")], Link='<http://other.invalid/x>; rel="next"'
    )
    assert "one" in fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7")).text


def test_a_transferred_issue_is_followed_and_said(api: Server) -> None:
    """Would catch the old repository being cloned for an issue that has moved."""
    api.answers[ISSUE] = answer({}, 301, Location=f"{api.url}/repositories/9/issues/70")
    api.answers["/repositories/9/issues/70"] = answer(
        {"title": "t", "body": "b", "comments": 0, "html_url": "https://github.com/acme/till/issues/70"}
    )
    found = fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7"))
    assert found.ref.clone_url == "https://github.com/acme/till"
    assert "moved" in found.notes[0]


def test_a_pull_request_behind_an_issue_number(api: Server) -> None:
    """Would catch GitHub's numbering, in which /issues/N also answers for pull requests."""
    api.answers[ISSUE] = answer({"title": "t", "body": "b", "pull_request": {}})
    with pytest.raises(IntakeError, match="pull request"):
        fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7"))


@pytest.mark.parametrize(
    ("status", "headers", "kind", "says"),
    [
        (401, {}, RemoteError, "401.*GITHUB_TOKEN"),
        (403, {}, RemoteError, "403.*GITHUB_TOKEN"),
        (404, {}, RemoteError, "404.*GITHUB_TOKEN"),
        (410, {}, IntakeError, "deleted"),
        (
            403,
            {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1900000000"},
            RemoteError,
            "2030-03-17 17:46:40 UTC",
        ),
        (403, {"retry_after": "60"}, RemoteError, r"in 1 min"),
        (429, {}, RemoteError, "rate limit"),
        (451, {}, RemoteError, "451"),
    ],
)
def test_refusals(
    api: Server, monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, str], kind: type, says: str
) -> None:
    """Would catch a refusal without its cure, the wrong exit status, and the token in an error."""
    monkeypatch.setenv("GH_TOKEN", TOKEN)
    api.answers[ISSUE] = answer({"message": "no"}, status, **headers)
    with pytest.raises(kind) as caught:
        fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7"))
    assert re.search(says, str(caught.value).replace("\n", " "))
    assert TOKEN not in str(caught.value)
    assert len(api.seen) == 1


def test_server_errors_are_tried_again_and_then_reported(api: Server) -> None:
    """Would catch one 502 ending a run, and retries without an end."""
    states = iter([502, 503, 200])
    body = json.dumps({"title": "t", "body": "b", "comments": 0}).encode()
    api.answers[ISSUE] = lambda _: (next(states), {}, body)
    assert fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7")).text == "# t\n\nb\n"
    api.answers[ISSUE] = answer({}, 500)
    with pytest.raises(RemoteError, match="500"):
        fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7"))


def test_an_unreachable_server_and_one_that_is_not_github(
    api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch a traceback of the HTTP library."""
    api.answers[ISSUE] = lambda _: (200, {}, b"<html>")
    with pytest.raises(RemoteError, match="GITHUB_API_URL"):
        fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7"))
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="cannot be reached"):
        fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7"))


def test_the_token_goes_to_no_other_host(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch a token stolen by an issue URL that names another host."""
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GITHUB_API_URL", "https://api.github.com")
    ref = parse_issue_url(f"{server.url}/acme/shop/issues/7")
    server.answers["/api/v3" + ISSUE] = answer({"title": "t", "body": "b", "comments": 0})
    fetch_issue(ref)
    assert "authorization" not in server.seen[0][1]
    assert clone_token(ref) is None
    github = clone_token(parse_issue_url("https://github.com/acme/shop/issues/7"))
    assert github is not None
    assert TOKEN not in repr(github)


def test_a_private_repository_is_cloned_with_the_token_and_keeps_none_of_it(
    api: Server, repository: Path, tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch a token in .git/config, FETCH_HEAD, an error or a progress line."""
    (tmp_path / "served" / "acme").mkdir(parents=True)
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(tmp_path / "served" / "acme" / "shop"))
    api.git_root = tmp_path / "served"
    from agent.intake.git import Token

    api.git_password = (
        Token(TOKEN, api.url).environment()["GIT_CONFIG_VALUE_0"].removeprefix("Authorization: ")
    )
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    said: list[str] = []
    url = f"{api.url}/acme/shop/issues/7"
    task = load_task(url, workspace=tmp_path / "w", on_progress=said.append)
    assert task.instance_id == "acme__shop-7"
    assert task.repo == "acme/shop"
    assert task.url == url
    assert task.base_commit == git(repository, "rev-parse", "HEAD")
    assert task.problem_statement == "# Stale price\n\nSecond call\nis old.\n"
    secrets = (TOKEN, api.git_password.removeprefix("Basic "))
    assert task.source is not None
    for path in task.source.rglob("*"):
        assert not path.is_file() or not any(secret.encode() in path.read_bytes() for secret in secrets)
    assert not any(secret in " ".join(said) + repr(task) for secret in secrets)
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_wrongOne")
    with pytest.raises(RemoteError) as caught:
        load_task(url, workspace=tmp_path / "w2")
    assert "ghp_wrongOne" not in str(caught.value)
    assert "GITHUB_TOKEN" in str(caught.value)
    assert list((tmp_path / "w2").iterdir()) == []


def test_the_reset_time_of_a_primary_limit_is_in_the_future(api: Server) -> None:
    """Would catch a reset that is printed as seconds since 1970."""
    api.answers[ISSUE] = answer(
        {}, 403, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(time.time()) + 1800)
    )
    with pytest.raises(RemoteError, match=r"in (29|30) min"):
        fetch_issue(parse_issue_url("https://github.com/acme/shop/issues/7"))
