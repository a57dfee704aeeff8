"""Diff, apply and reset of a repository inside a sandbox, by running git there.

The harness has a git directory of its own in the sandbox's scratch directory, with its own index and
configuration, so that nothing the agent does to the repository's ``.git`` (commits, other branches,
configuration, removal) changes what a diff says, and no diff disturbs the agent's index.
"""

from __future__ import annotations

from sandbox.errors import PatchDoesNotApply, SandboxError
from sandbox.hardening import GIT_ENV, Execute

MAX_PATCH = 64 << 20
"""A larger diff (a core file, a data set) is refused, in bytes."""
_TIMEOUT = 300.0

_COPY = r"""
# A git directory's content; objects as hard links: git replaces an object file, it never writes into one.
copy() {
    local entry entries=()
    for entry in "$1"/* "$1"/.[!.]*; do
        [[ -e $entry && $entry != */objects ]] && entries+=("$entry")
    done
    cp -Rp "${entries[@]}" "$2/" &&
        { cp -Rpl "$1/objects" "$2/" 2>/dev/null || { rm -rf "$2/objects" && cp -Rp "$1/objects" "$2/"; }; }
}
"""

_OPEN = (
    _COPY
    + r"""
set -euo pipefail
mkdir -p "$S/git/info" "$S/git/refs/heads" "$S/git/objects/info" "$S/dotgit"
copy "$W/.git" "$S/dotgit"
cp -Rp "$S/dotgit/config" "$S/dotgit/index" "$S/git/" 2>/dev/null || true
# Inode numbers and change times differ between a container and the next one of the same files.
printf '[core]\n\tcheckStat = minimal\n\ttrustctime = false\n' >>"$S/git/config"
for file in info/exclude shallow; do
    [[ ! -e $S/dotgit/$file ]] || cp "$S/dotgit/$file" "$S/git/$file"
done
echo "$S/dotgit/objects" >"$S/git/objects/info/alternates"
echo 'ref: refs/heads/none' >"$S/git/HEAD"
cd "$W"
GIT_DIR=$S/git git add -A --ignore-errors . >"$S/said" 2>&1 || { cat "$S/said"; exit 1; }
GIT_DIR=$S/git git write-tree
"""
)

_PRELUDE = r"""
set -uo pipefail
export GIT_DIR=$S/git GIT_WORK_TREE=$W HOME=$S
mkdir -p "$W" && cd "$W" || exit 1
stage() {
    git add -A --ignore-errors . >"$S/said" 2>&1 && return
    # A repository without a commit inside the tree cannot be added: leave such out, and what is unreadable.
    local inner=()
    while IFS= read -r -d '' entry; do
        inner+=(":(exclude,literal)${entry#./}")
    done < <(find . -mindepth 2 -name .git -prune -printf '%h\0' 2>/dev/null)
    git add -A --ignore-errors . "${inner[@]}" >"$S/said" 2>&1 || [[ ! -e $S/git/index.lock ]]
}
"""

_DIFF = (
    _PRELUDE
    + r"""
show() {
    git diff --cached --binary --no-color --no-ext-diff --no-textconv --no-renames --ignore-submodules=all \
        --src-prefix=a/ --dst-prefix=b/ "$TREE" "$@"
}
if [[ ${BINARY-} ]]; then
    # Files whose lines are not UTF-8 go into the patch as bytes, so that the patch is text.
    while IFS= read -r -d '' name; do
        show -- ":(literal)$name" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1 && continue
        escaped=${name//\\/\\\\}
        escaped=${escaped//\"/\\\"}
        printf '"/%s" -diff\n' "${escaped//[^ -~]/?}"
    done < <(show --name-only -z) >"$S/git/info/attributes"
else
    stage || { cat "$S/said"; exit 1; }
fi
show 2>"$S/said" || { cat "$S/said"; exit 1; }
rm -f "$S/git/info/attributes"
"""
)

_APPLY = (
    _PRELUDE
    + r"""
cat >"$S/patch"
git apply --whitespace=nowarn "$S/patch" >"$S/why" 2>&1 && exit 0
git apply --whitespace=nowarn --recount "$S/patch" >/dev/null 2>&1 && exit 0
# patch(1) is laxer, and not atomic: note the state first, ignored files that the patch names included.
stage || { cat "$S/said"; exit 1; }
git apply --numstat -z "$S/patch" 2>/dev/null | cut -z -f3 | git ls-files -z -o --pathspec-from-file=- \
    --pathspec-file-nul 2>/dev/null | xargs -0 -r git add -f -- 2>/dev/null
before=$(git write-tree) || exit 1
rm -f "$S/rejects"
# Nor does it mind the repository's own files, as git does.
if patch -p1 --force --dry-run -i "$S/patch" 2>&1 | grep -E "^[a-z]+ing file ['\"]?(.*/)?\.git/"; then
    exit 9
fi
if patch -p1 --force --fuzz=5 --no-backup-if-mismatch -r "$S/rejects" -i "$S/patch" >"$S/patch.out" 2>&1; then
    exit 0
fi
stage
git read-tree --reset -u "$before"
cat "$S/why" "$S/patch.out"
[[ -e $S/rejects ]] && cat "$S/rejects"
exit 9
"""
)

_RESET = (
    _PRELUDE
    + _COPY
    + r"""
set -e
rm -rf "$W/.git"
mkdir "$W/.git"
copy "$S/dotgit" "$W/.git"
stage
git read-tree --reset -u "$TREE"
git clean -ffdq
"""
)


RECIPE = _OPEN
"""What is made in the scratch directory follows from this."""


class Worktree:
    """The repository at ``workdir`` against the tree it was when this was first made.

    ``tree``: that tree's id, where ``scratch`` holds what an earlier one made there.
    """

    def __init__(self, execute: Execute, workdir: str, scratch: str, tree: str | None = None) -> None:
        self._execute = execute
        self._env = {**GIT_ENV, "W": workdir, "S": scratch}
        self.tree = tree or self._git(_OPEN, GIT_WORK_TREE=workdir).decode().split()[-1]
        self._env["TREE"] = self.tree

    def diff(self) -> str:
        """See ``Sandbox.diff``. A file whose lines are not UTF-8 is in it as a binary patch."""
        try:
            return self._git(_DIFF, limit=MAX_PATCH).decode()
        except UnicodeDecodeError:
            return self._git(_DIFF, limit=MAX_PATCH, BINARY="1").decode()

    def apply(self, patch: str) -> None:
        """See ``Sandbox.apply``. A patch of nothing but white space changes nothing."""
        if not patch.strip():
            return
        data = patch.encode("utf-8", "surrogateescape")
        data += b"" if data.endswith(b"\n") else b"\n"
        ran = self._execute(_APPLY, timeout=_TIMEOUT, env=self._env, stdin=data)
        if ran.exit_code == 9:
            raise PatchDoesNotApply(
                f"the patch does not apply:\n{ran.data.decode('utf-8', 'replace').strip()}",
                cure="make it against the base commit, with a/ and b/ before the paths",
            )
        if not ran.ok:
            raise SandboxError(f"git could not apply a patch: {ran.data.decode('utf-8', 'replace').strip()}")

    def reset(self) -> None:
        """See ``Sandbox.reset``. The repository's own ``.git`` is put back as it was, too."""
        self._git(_RESET)

    def _git(self, script: str, *, limit: int = 1_000_000, **env: str) -> bytes:
        ran = self._execute(script, timeout=_TIMEOUT, env={**self._env, **env}, limit=limit)
        if not ran.ok:
            said = ran.data[-4000:].decode("utf-8", "replace").strip()
            raise SandboxError(f"git failed inside the sandbox: {said or f'exit status {ran.exit_code}'}")
        if ran.dropped:
            raise SandboxError(
                f"the difference to the base commit is over {limit >> 20} MiB",
                cure="remove what the commands wrote into the repository, or have it ignored",
            )
        return ran.data
