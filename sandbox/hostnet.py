"""How this host reaches package indexes (certificates, proxies, pip's configuration), and a look at one.

Steps of a build are given these; nothing of it stays in an image.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urljoin

__all__ = ["IndexFile", "certificates", "files_on_index", "read_url", "step_environment"]

_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
_SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class IndexFile:
    """A file of a project on the index. ``uploaded``: ISO 8601, or empty where the index does not say."""

    name: str
    url: str
    sha256: str
    uploaded: str


def certificates() -> Path | None:
    """The file of certificate authorities that programs on this host trust."""
    paths = ssl.get_default_verify_paths()
    for path in (
        os.environ.get("PIP_CERT"),
        os.environ.get("SSL_CERT_FILE"),
        paths.cafile,
        paths.openssl_cafile,
    ):
        if path and Path(path).is_file():
            return Path(path)
    debian = Path("/etc/ssl/certs/ca-certificates.crt")
    return debian if debian.is_file() else None


def step_environment() -> dict[str, str]:
    """Proxies and the package indexes of the user's pip, as variables for pip and uv in a build's step.

    Indexes and links in the host's own file system mean nothing inside.
    """
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    found = {name: os.environ[name] for name in names if os.environ.get(name)}
    uv = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "trusted-host": "UV_INSECURE_HOST"}
    for option in _OPTIONS:
        usable = _usable(option)
        if usable:
            found["PIP_" + option.upper().replace("-", "_")] = " ".join(usable)
            if option in uv:
                found[uv[option]] = " ".join(usable)
    return found


def files_on_index(project: str, *, seconds: float = 30) -> list[IndexFile]:
    """What the index has of ``project`` (PEP 691); empty where it cannot be asked or answers otherwise."""
    index = (_usable("index-url") or [_default_index()])[0].rstrip("/")
    base = f"{index}/{project}/"
    try:
        listed = json.loads(read_url(base, accept=_SIMPLE_JSON, seconds=seconds))
        return [
            IndexFile(
                file["filename"],
                urljoin(base, file["url"]),
                file.get("hashes", {}).get("sha256", ""),
                file.get("upload-time") or "",
            )
            for file in listed["files"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def read_url(url: str, *, accept: str = "*/*", seconds: float = 120) -> bytes:
    """The content at ``url``, which may hold a user name and password. Raises ``OSError``, ``ValueError``."""
    trusted = certificates()
    context = ssl.create_default_context(cafile=str(trusted) if trusted else None)
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    proxy = _usable("proxy")
    if proxy:
        handlers.append(urllib.request.ProxyHandler({"http": proxy[0], "https": proxy[0]}))
    scheme, _, rest = url.partition("://")
    credentials, at, _ = rest.partition("/")[0].rpartition("@")
    if at:
        user, _, password = credentials.partition(":")
        url = f"{scheme}://{rest[len(credentials) + 1 :]}"
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        passwords.add_password(None, url, user, password, is_authenticated=True)
        handlers.append(urllib.request.HTTPBasicAuthHandler(passwords))
    request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "fixbug"})
    if scheme not in ("http", "https"):
        raise ValueError(f"expected an http(s) URL, got {scheme}://")
    with urllib.request.build_opener(*handlers).open(request, timeout=seconds) as answer:
        return bytes(answer.read())


def _usable(option: str) -> list[str]:
    value = _pip_options().get(option, "")
    return [part for part in value.split() if not part.startswith(("file:", "/", "."))]


def _pip_options() -> dict[str, str]:
    """The user's pip configuration, environment variables included (option → value)."""
    return _read_pip_options(tuple(sorted(item for item in os.environ.items() if item[0].startswith("PIP_"))))


@cache
def _default_index() -> str:
    """The index that pip takes where none is configured, as its help says; empty where it does not."""
    for command in ([sys.executable, "-m", "pip"], ["pip"], ["pip3"]):
        try:
            done = subprocess.run([*command, "help", "install"], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        # its lines are broken anywhere
        found = re.search(r"\(default(https?://[^)]+)\)", "".join(done.stdout.split()))
        if found:
            return found[1]
    return ""


@cache
def _read_pip_options(variables: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The same; ``variables`` only tell one reading from another."""
    for command in ([sys.executable, "-m", "pip"], ["pip"], ["pip3"]):
        try:
            done = subprocess.run([*command, "config", "list"], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode:
            continue
        options: dict[str, str] = {}
        # lines are SECTION.OPTION='VALUE'; variables, the section ":env:", come first and win
        for line in done.stdout.splitlines():
            key, _, value = line.partition("=")
            options.setdefault(key.rpartition(".")[2], value.strip("'\"").replace("\\n", " "))
        return options
    return {}
