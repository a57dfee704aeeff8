"""A GitHub issue over the REST API: title, body and comments.

Formats: https://docs.github.com/en/rest/issues (``GET /repos/{owner}/{repo}/issues/{n}`` and its
``/comments``), rate limits as in https://docs.github.com/en/rest/using-the-rest-api.

The token (``GITHUB_TOKEN``, else ``GH_TOKEN``) goes to the configured API and to nobody else: a URL that
names another host never gets it.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.errors import IntakeError, RemoteError
from agent.intake.git import Token
from agent.intake.hygiene import visible

if TYPE_CHECKING:
    import httpx2

__all__ = ["GitHubIssue", "IssueRef", "clone_token", "fetch_issue", "parse_issue_url"]

_API = "https://api.github.com"
_PAGES = 30
_ATTEMPTS = 4
_CURE_TOKEN = "for a private repository set GITHUB_TOKEN to a token that may read its issues and contents"


@dataclass(frozen=True)
class IssueRef:
    """Which issue a URL names. ``origin`` is the scheme and host, ``https://github.com``."""

    origin: str
    owner: str
    repo: str
    number: int

    @property
    def url(self) -> str:
        return f"{self.clone_url}/issues/{self.number}"

    @property
    def clone_url(self) -> str:
        return f"{self.origin}/{self.owner}/{self.repo}"

    @property
    def host(self) -> str:
        return urlsplit(self.origin).netloc.lower()


@dataclass(frozen=True)
class GitHubIssue:
    """An issue as its readers see it; ``notes`` say what was left out."""

    ref: IssueRef
    text: str
    notes: tuple[str, ...]


def parse_issue_url(url: str) -> IssueRef:
    """Raises ``IntakeError`` for a URL that names no issue, and says what it names instead."""
    parts = urlsplit(url.strip())
    path = [part for part in parts.path.split("/") if part]
    expected = "expected https://github.com/OWNER/REPO/issues/NUMBER"
    shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
    if len(path) >= 3 and path[2] in ("pull", "pulls"):
        raise IntakeError(f"{shown} is a pull request, {expected}", cure="give the issue that it closes")
    if len(path) >= 3 and path[2] == "discussions":
        raise IntakeError(f"{shown} is a discussion, {expected}", cure="save its text as a Markdown file")
    if "-" in path and "issues" in path:
        raise IntakeError(
            f"{shown} is an issue of another forge than GitHub, {expected}",
            cure="save the issue's text as a Markdown file and give that, with --repo URL",
        )
    if len(path) == 2:
        raise IntakeError(f"{shown} is a repository and no issue, {expected}", cure="add /issues/NUMBER")
    if parts.scheme not in ("http", "https") or not parts.hostname or len(path) < 4 or path[2] != "issues":
        raise IntakeError(f"{shown} is not the URL of an issue, {expected}", cure="copy it from the browser")
    if len(path) != 4 or not re.fullmatch(r"[1-9][0-9]{0,9}", path[3]):
        raise IntakeError(f"{shown} names no issue number, {expected}", cure="copy it from the browser")
    owner, repo = path[0], path[1].removesuffix(".git")
    if not all(
        re.fullmatch(r"[\w.-]+", name) and not re.fullmatch(r"\.+|-.*", name) for name in (owner, repo)
    ):
        raise IntakeError(f"{shown} names no GitHub repository, {expected}", cure="copy it from the browser")
    host = parts.hostname.removeprefix("www.") + (f":{parts.port}" if parts.port else "")
    return IssueRef(f"{parts.scheme}://{host}", owner, repo, int(path[3]))


def fetch_issue(ref: IssueRef, on_progress: Callable[[str], None] = lambda text: None) -> GitHubIssue:
    """Title, body and comments, each without what readers do not see; comments of bots left out.

    Raises ``IntakeError`` when it is no issue or gone, ``RemoteError`` when GitHub refuses or cannot
    be reached.
    """
    import httpx2

    api = _api_of(ref)
    token = _token_for_api(api)
    headers = {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "fixbug",
        **({"Authorization": f"Bearer {token}"} if token else {}),
    }
    on_progress(f"reading {ref.url}")
    with httpx2.Client(
        headers=headers, timeout=httpx2.Timeout(30, connect=10), follow_redirects=True
    ) as client:
        first = _get(client, f"{api}/repos/{ref.owner}/{ref.repo}/issues/{ref.number}", ref, bool(token))
        issue = _object(first, dict)
        if "pull_request" in issue:
            raise IntakeError(
                f"{ref.url} is a pull request and no issue", cure="give the issue that it closes"
            )
        comments, cut = _comments(client, f"{str(first.url).split('?')[0]}/comments", issue, ref, bool(token))
    real = _moved(ref, str(issue.get("html_url") or ""))
    return _written(real, ref, issue, comments, cut)


def clone_token(ref: IssueRef) -> Token | None:
    """The token for cloning the repository of an issue; None where it is not meant for the host."""
    token = _token()
    meant = {"github.com", os.environ.get("GH_HOST", "").lower()}
    meant.add(urlsplit(os.environ.get("GITHUB_SERVER_URL", "")).netloc.lower())
    api = urlsplit(_configured_api() or "").netloc.lower()
    meant |= {api, api.removeprefix("api.")}
    if not token or ref.host not in meant or not _private(ref.origin):
        return None
    return Token(token, ref.origin)


def _token() -> str:
    return (os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN") or "").strip()


def _configured_api() -> str:
    return os.environ.get("GITHUB_API_URL", "").strip().rstrip("/")


def _api_of(ref: IssueRef) -> str:
    """Where the API of the issue's host is. CI services set GITHUB_API_URL to github.com's own: that one
    is not believed for another host."""
    configured = _configured_api()
    if ref.host == "github.com":
        return configured or _API
    return configured if configured and configured != _API else f"{ref.origin}/api/v3"


def _token_for_api(api: str) -> str:
    known = {_API, _configured_api()}
    enterprise = os.environ.get("GH_HOST", "").lower()
    if api not in known and urlsplit(api).netloc.lower() != enterprise:
        return ""
    return _token() if _private(api) else ""


def _private(url: str) -> bool:
    """Whether a secret may be sent there: encrypted, or to this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


def _get(client: httpx2.Client, url: str, ref: IssueRef, with_token: bool) -> httpx2.Response:
    """One page. Server errors and lost connections are tried again, refusals are not."""
    import httpx2
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    class ServerError(Exception):
        pass

    def once() -> httpx2.Response:
        response = client.get(url)
        if response.status_code >= 500:
            raise ServerError(f"GitHub answered {response.status_code}")
        return response

    tries = Retrying(
        retry=retry_if_exception_type((httpx2.TransportError, ServerError)),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=0.25, max=4),
        reraise=True,
    )
    host = urlsplit(url).netloc
    try:
        response = tries(once)
    except ServerError as error:
        raise RemoteError(
            f"{ref.url} cannot be read: {error} {_ATTEMPTS} times", cure="try again later"
        ) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise RemoteError(
            f"{host} cannot be reached ({type(error).__name__}: {error})",
            cure="check the network and GITHUB_API_URL, or save the issue as a Markdown file and give that",
        ) from error
    if response.status_code != 200:
        raise _refusal(response, ref, with_token)
    return response


def _refusal(response: httpx2.Response, ref: IssueRef, with_token: bool) -> Exception:
    status, said = response.status_code, _message(response)
    limited = response.headers.get("x-ratelimit-remaining") == "0" or "rate limit" in said.lower()
    if status == 429 or (status == 403 and (limited or "retry-after" in response.headers)):
        cure = "wait until then" if with_token else "set GITHUB_TOKEN for a higher limit, or wait until then"
        return RemoteError(f"GitHub's rate limit is used up; {_reset(response)}", cure=cure)
    if status == 401:
        return RemoteError(
            f"GitHub refuses the token (401: {said})"
            if with_token
            else f"{ref.url} needs a login (401: {said})",
            cure="set GITHUB_TOKEN to a token that is valid"
            + (", or unset it for a public issue" if with_token else ""),
        )
    if status == 403:
        return RemoteError(f"GitHub does not let {ref.url} be read (403: {said})", cure=_CURE_TOKEN)
    if status == 404:
        who = "the token does not see it" if with_token else "it is private"
        return RemoteError(f"{ref.url} is not there, or {who} (404)", cure=f"check the URL; {_CURE_TOKEN}")
    if status == 410:
        return IntakeError(
            f"{ref.url} was deleted, or the repository has no issues (410)", cure="give another issue"
        )
    return RemoteError(
        f"{ref.url} cannot be read: GitHub answered {status}: {said}", cure="check GITHUB_API_URL"
    )


def _message(response: httpx2.Response) -> str:
    try:
        body = response.json()
        return str(body.get("message", ""))[:200] if isinstance(body, dict) else ""
    except ValueError:
        return response.reason_phrase


def _reset(response: httpx2.Response) -> str:
    retry, reset = response.headers.get("retry-after", ""), response.headers.get("x-ratelimit-reset", "")
    if retry.isdigit():
        at = time.time() + int(retry)
    elif reset.isdigit() and len(reset) < 12:
        at = float(reset)
    else:
        return "it does not say until when (usually an hour)"
    minutes = max(0, round((at - time.time()) / 60))
    return f"it resets at {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(at))} UTC (in {minutes} min)"


def _object(response: httpx2.Response, kind: type) -> Any:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, kind):
        raise RemoteError(
            f"{response.url.host} did not answer as GitHub's API does (expected JSON: {kind.__name__})",
            cure="check GITHUB_API_URL; it ends in /api/v3 for GitHub Enterprise",
        )
    return body


def _comments(
    client: httpx2.Client, url: str, issue: dict[str, Any], ref: IssueRef, with_token: bool
) -> tuple[list[dict[str, Any]], bool]:
    """All comments, oldest first, and whether there were more than are read."""
    found: list[dict[str, Any]] = []
    if issue.get("comments") == 0:
        return found, False
    page: str | None = f"{url}?per_page=100"
    for _ in range(_PAGES):
        if page is None:
            return found, False
        response = _get(client, page, ref, with_token)
        found += [comment for comment in _object(response, list) if isinstance(comment, dict)]
        following = response.links.get("next", {}).get("url")
        # The token is sent along: a next page on another host is not followed.
        page = following if following and urlsplit(following).netloc == urlsplit(url).netloc else None
    return found, page is not None


def _moved(ref: IssueRef, html_url: str) -> IssueRef:
    """Where the issue is now, if it was transferred within its host."""
    try:
        real = parse_issue_url(html_url)
    except (IntakeError, ValueError):
        return ref
    return real if real.host == ref.host else ref


def _written(
    ref: IssueRef, asked: IssueRef, issue: dict[str, Any], comments: list[dict[str, Any]], cut: bool
) -> GitHubIssue:
    removed: Counter[str] = Counter()

    def clean(text: object) -> str:
        shown, gone = visible(str(text or ""))
        removed.update(gone)
        return shown.strip()

    title = " ".join(clean(issue.get("title")).split())
    pieces = [f"# {title}", clean(issue.get("body"))]
    bots = 0
    for comment in comments:
        user = comment.get("user") or {}
        if user.get("type") == "Bot":
            bots += 1
        elif body := clean(comment.get("body")):
            pieces.append(f"## Comment by {user.get('login') or 'a deleted account'}\n\n{body}")
    notes = [f"left out of the issue: {kind} ({count})" for kind, count in sorted(removed.items())]
    if bots:
        notes.append(f"left out of the issue: comments by bots ({bots})")
    if cut:
        notes.append(f"only the first {len(comments)} comments were read")
    if ref != asked:
        notes.append(f"the issue has moved to {ref.url}")
    return GitHubIssue(ref, "\n\n".join(piece for piece in pieces if piece) + "\n", tuple(notes))
