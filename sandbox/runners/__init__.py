"""Runs tests and programs from inside the sandbox, and writes what became of them where the harness reads it.

Standard library only, Python 3.6 to 3.13, pytest 3.5 to 9. The text of these modules goes in on
standard input, together with ``tracer.py``'s (``sandbox/inside.py``), and is loaded there as the package
``_fixbug``. On the host they are only read.
"""

ORDER = (
    "results", "imports", "watchers", "scripts", "with_pytest", "unittest_names", "with_unittest",
    "with_sympy", "command", "main",
)  # fmt: skip
"""Each module after those that it imports; the last one's ``main(job)`` is called."""
