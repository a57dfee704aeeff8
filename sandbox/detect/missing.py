"""Which distribution provides what tests turn out to lack: a module, a plugin's option, a fixture."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

__all__ = ["FIXTURES", "missing_distributions", "missing_modules"]

# import name → distribution, where they differ
_DISTRIBUTIONS = {
    "OpenSSL": "pyOpenSSL", "PIL": "Pillow", "attr": "attrs", "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil", "distutils": "setuptools", "git": "GitPython", "google": "protobuf",
    "jwt": "PyJWT", "pkg_resources": "setuptools", "pytest_cov": "pytest-cov", "_pytest": "pytest",
    "ruamel": "ruamel.yaml", "serial": "pyserial", "sklearn": "scikit-learn", "xdist": "pytest-xdist",
    "yaml": "PyYAML", "zmq": "pyzmq", "zope": "zope.interface",
}  # fmt: skip

_COMMON = frozenset(
    """
    attrs coverage freezegun hypothesis iniconfig mock nose numpy parameterized pluggy pretend pytest
    pytest-asyncio pytest-benchmark pytest-cov pytest-django pytest-flake8 pytest-httpbin pytest-mock
    pytest-mypy pytest-pylint pytest-randomly pytest-subtests pytest-timeout pytest-xdist pytz pyyaml requests
    responses setuptools simplejson six testfixtures testpath testscenarios testtools tox trustme unittest2
    """.split()  # noqa: SIM905 - a table
)
"""What tests use so often that a project need not speak of it."""

_OPTIONS = {
    "--asyncio": "pytest-asyncio", "--benchmark": "pytest-benchmark", "--black": "pytest-black",
    "--cov": "pytest-cov", "--dist": "pytest-xdist", "--doctest-plus": "pytest-doctestplus",
    "--ds": "pytest-django", "--flake8": "pytest-flake8", "--forked": "pytest-forked",
    "--html": "pytest-html", "--isort": "pytest-isort", "--mypy": "pytest-mypy",
    "--no-cov": "pytest-cov", "-n": "pytest-xdist",
    "--numprocesses": "pytest-xdist", "--pep8": "pytest-pep8", "--pycodestyle": "pytest-pycodestyle",
    "--pylint": "pytest-pylint", "--randomly": "pytest-randomly",
    "--reruns": "pytest-rerunfailures",
    "--timeout": "pytest-timeout",
}  # fmt: skip

FIXTURES = {
    "benchmark": "pytest-benchmark", "event_loop": "pytest-asyncio", "freezer": "pytest-freezegun",
    "httpbin": "pytest-httpbin", "httpserver": "pytest-httpserver", "mocker": "pytest-mock",
    "requests_mock": "requests-mock", "subtests": "pytest-subtests",
}  # fmt: skip
"""Fixture → the plugin that has it."""

_MODULE = re.compile(r"No module named ['\"]?([A-Za-z_]\w*)")


def missing_modules(output: str) -> tuple[str, ...]:
    """Top-level modules that ``output`` says are not there."""
    return tuple(dict.fromkeys(_MODULE.findall(output)))


def missing_distributions(
    output: str, fixtures: Collection[str], installed: Collection[str], texts: Mapping[str, str]
) -> tuple[str, ...]:
    """What would help, out of pytest's ``output`` and the names that test functions take (``fixtures``).

    Only names that are common or that the project's own files (``texts``) speak of: any other name on an
    index may be somebody else's. ``installed`` are distributions that are there, by canonical name.
    """
    found = [
        name
        for module in missing_modules(output)
        if _known(name := _DISTRIBUTIONS.get(module, module.replace("_", "-")), module, texts)
    ]
    found += _plugins(output)
    for fixture, plugin in FIXTURES.items():
        if fixture in fixtures and plugin not in installed and _known(plugin, plugin, texts):
            found.append(plugin)
    return tuple(dict.fromkeys(found))


def _plugins(output: str) -> Iterator[str]:
    for arguments in re.findall(r"unrecognized arguments: (.*)", output):
        for argument in arguments.split():
            for option, plugin in _OPTIONS.items():
                if argument == option or (
                    option != "-n" and argument.startswith((f"{option}=", f"{option}-"))
                ):
                    yield plugin
                    break
    for names in re.findall(r"[Mm]issing required plugins: (.*)", output):
        yield from (name for name in re.split(r"[,\s]+", names) if name.startswith("pytest"))


def _known(distribution: str, module: str, texts: Mapping[str, str]) -> bool:
    name = distribution.lower().replace("_", "-")
    if name in _COMMON or distribution in _DISTRIBUTIONS.values():
        return True
    either = "|".join(map(re.escape, {distribution, module}))
    pattern = re.compile(rf"(?<![\w.-])({either})(?![\w-])", re.IGNORECASE)
    # PKG-INFO holds the whole description, in which any word may stand
    return any(pattern.search(text) for file, text in texts.items() if file != "PKG-INFO")
