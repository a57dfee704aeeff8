"""What runs inside a sandbox: tries many changed versions of a repository's files, one forked process each.

Standard library only, Python 3.6 and later, POSIX. ``trials.py`` copies it in and calls ``run.main``.
"""
