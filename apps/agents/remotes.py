"""The repository that a project's work is pushed to: fetching from it and pushing to it.

Credentials reach git through files of one call that only its user may read, never by an argument, the
address or the environment's values; what git says of them is taken out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from apps.agents.git import Git, Output, failure, revision
from apps.agents.hub import Hub
from apps.agents.merge_models import MergePolicy
from apps.agents.merge_policies import remote_checked
from apps.core.errors import Conflict
from apps.providers.keys import unseal

SECONDS = 180.0
ASKPASS = (
    '#!/bin/sh\ncase "$1" in\n[Uu]sername*) cat "{folder}/username" ;;\n*) cat "{folder}/secret" ;;\nesac\n'
)
MOVED = ("[rejected]", "non-fast-forward", "stale info", "fetch first")


@dataclass(frozen=True)
class Remote:
    hub: Hub
    policy: MergePolicy

    def head_branch(self) -> str:
        """The branch that the remote itself calls its main one; empty if it does not say."""
        said = self._run("ls-remote", "--symref", "--", self._address(), "HEAD").text.splitlines()
        found = (line.removeprefix("ref: refs/heads/").split("\t")[0] for line in said if line[:4] == "ref:")
        return next(found, "")

    def fetch(self, branch: str) -> str | None:
        """The commit of the remote's branch, brought into the hub; None if it has none."""
        kept = f"refs/loom/remote/{revision(branch)}"
        listed = self._run("ls-remote", "--", self._address(), f"refs/heads/{branch}").text.split()
        if not listed:
            return None
        self._run("fetch", "--no-tags", "--quiet", "--", self._address(), f"+refs/heads/{branch}:{kept}")
        return self.hub.ref(kept)

    def push(self, commit: str, branch: str, *, before: str | None, forced: bool = False) -> bool:
        """Put a commit on the remote's branch, if that is still at `before`; False if it moved."""
        target = f"refs/heads/{revision(branch)}"
        lease = f"--force-with-lease={target}:{before or ''}"
        refspec = f"{'+' if forced else ''}{revision(commit)}:{target}"
        done = self._run("push", "--quiet", lease, "--", self._address(), refspec, ok=range(256))
        if done.code == 0:
            return True
        if "remote rejected" not in done.err and any(word in done.err for word in MOVED):
            return False
        raise failure("push", done)

    def _address(self) -> str:
        return remote_checked(self.policy.remote)

    def _run(self, *args: str, ok: range | tuple[int, ...] = (0,)) -> Output:
        secret = unseal(self.policy.credential_sealed)
        with credentials(secret, self.policy.username) as environment:
            git = Git(self.hub.path, environment=tuple(environment.items()))
            done = git.run("-c", "credential.helper=", *args, ok=range(256), timeout=SECONDS)
        shown = Output(done.code, done.out, _masked(done.err, secret))
        if shown.code not in ok:
            raise failure(args[0], shown)
        return shown


@contextmanager
def credentials(secret: str, username: str) -> Iterator[dict[str, str]]:
    """The environment that leads git to a credential: names of files, not what they hold."""
    if not secret:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="loom-credential-") as place:
        folder = Path(place)
        _private(folder / "secret", secret + "\n")
        if "PRIVATE KEY" in secret:
            hosts = Path(settings.LOOM_DATA_DIR) / "known_hosts"
            ssh = (
                f"ssh -F /dev/null -i {folder / 'secret'} -o IdentitiesOnly=yes -o BatchMode=yes "
                f"-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={hosts}"
            )
            yield {"GIT_SSH_COMMAND": ssh}
            return
        _private(folder / "username", (username or "loom") + "\n")
        _private(folder / "ask", ASKPASS.format(folder=folder), mode=0o700)
        yield {"GIT_ASKPASS": str(folder / "ask")}


def push_main(hub: Hub, policy: MergePolicy, branch: str, commit: str) -> bool:
    """Move the remote's branch on from where `main_sync` saw it; False if it moved meanwhile."""
    seen = hub.ref(f"refs/loom/remote/{branch}")
    return Remote(hub, policy).push(commit, branch, before=seen)


def main_sync(hub: Hub, policy: MergePolicy, branch: str) -> str:
    """Bring the hub's branch up to the remote's, if there is a remote; the branch's commit.

    Conflict if both have commits that the other has not.
    """
    head = hub.head(branch) or ""
    if not policy.remote:
        return head
    there = Remote(hub, policy).fetch(branch)
    if there is None or there == head or (head and hub.is_ancestor(there, head)):
        return head
    if head and not hub.is_ancestor(head, there):
        raise Conflict(
            f"{branch} of the remote and of Loom have gone different ways.",
            hint="Merge them on the remote; Loom takes it over from there.",
        )
    hub.advance(branch, there, head or None)
    return hub.head(branch) or ""


def _private(file: Path, text: str, mode: int = 0o600) -> None:
    file.touch(mode=mode)
    file.write_text(text)


def _masked(text: str, secret: str) -> str:
    for line in secret.splitlines():
        if len(line.strip()) >= 4:
            text = text.replace(line.strip(), "***")
    return text
