"""Attempts on git: on the platform's own git by way of the files, and on git's own options."""

# ruff: noqa: E501 - a command is easier to follow on one line

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable

from apps.agents.git import revision
from apps.agents.hub import Hub
from apps.agents.importing import repository_import
from apps.core.errors import LoomError
from tests.campaigns._escape_room import WIDE, Room, attempt, claimed, read, shell, wrote

GROUP = "git"
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


def _naive(room: Room, *words: str) -> int:
    """Git as somebody would call it who trusts the directory."""
    who = ("-c", "safe.directory=*", "-c", "user.name=x", "-c", "user.email=x@x")
    return subprocess.run(
        ["git", *who, *words], cwd=room.root, env=ENVIRONMENT, capture_output=True, check=False, timeout=20
    ).returncode


def _platform_looks(room: Room) -> None:
    """All that the platform's git does with a worktree in a turn."""
    with contextlib.suppress(LoomError):
        room.do("git_status")
        room.do("git_diff")
        room.do("git_log")
        room.workspace.snapshot("turn", "refs/loom/sessions/11")
        room.workspace.restore(room.workspace.head)


def _planted(
    script: str, naive: Callable[[Room], object]
) -> tuple[Callable[[Room], None], Callable[[Room], None]]:
    def plant(room: Room) -> None:
        room.run(script.replace("EVIL", f"touch {room.outside}/pwned"))
        room.run("chmod -R a+rwX . 2>/dev/null")

    def act(room: Room) -> None:
        plant(room)
        _platform_looks(room)

    def control(room: Room) -> None:
        plant(room)
        naive(room)

    return act, control


INIT = "git init -q . 2>/dev/null || mkdir -p .git/objects .git/refs .git/hooks; echo 'ref: refs/heads/main' > .git/HEAD; "
PLANTS: dict[str, tuple[str, Callable[[Room], object]]] = {
    "a repository with fsmonitor": (
        INIT + "printf '[core]\\n\\trepositoryformatversion = 0\\n\\tfsmonitor = EVIL\\n' > .git/config",
        lambda room: _naive(room, "status"),
    ),
    "hooks": (
        INIT + "for h in pre-commit post-commit post-checkout post-index-change reference-transaction; do"
        " printf '#!/bin/sh\\nEVIL\\n' > .git/hooks/$h; chmod +x .git/hooks/$h; done",
        lambda room: _naive(room, "commit", "-q", "--allow-empty", "-m", "x"),
    ),
    "a hooks directory of its own choice": (
        INIT + "mkdir h; printf '#!/bin/sh\\nEVIL\\n' > h/pre-commit; chmod +x h/pre-commit;"
        " printf '[core]\\n\\thooksPath = h\\n' >> .git/config",
        lambda room: _naive(room, "commit", "-q", "--allow-empty", "-m", "x"),
    ),
    "filters of attributes": (
        INIT + "printf '[filter \"x\"]\\n\\tclean = EVIL; cat\\n\\tsmudge = EVIL; cat\\n' >> .git/config;"
        " echo '* filter=x' > .gitattributes; echo changed > a.txt",
        lambda room: _naive(room, "add", "-A"),
    ),
    "diff drivers and textconv": (
        INIT + "printf '[diff \"x\"]\\n\\tcommand = EVIL\\n\\ttextconv = EVIL\\n[diff]\\n\\texternal = EVIL\\n'"
        " >> .git/config; echo '* diff=x' > .gitattributes; git add a.txt; echo changed > a.txt",
        lambda room: _naive(room, "diff"),
    ),
    "a merge driver": (
        INIT + "printf '[merge \"x\"]\\n\\tdriver = EVIL\\n' >> .git/config; echo '* merge=x' > .gitattributes;"
        " printf '[alias]\\n\\tzz = !EVIL\\n' >> .git/config",
        lambda room: _naive(room, "zz"),
    ),
    "signing programs": (
        INIT + "printf '[commit]\\n\\tgpgSign = true\\n[gpg]\\n\\tprogram = ./g\\n' >> .git/config;"
        " printf '#!/bin/sh\\nEVIL\\n' > g; chmod +x g",
        lambda room: _naive(room, "commit", "-q", "--allow-empty", "-m", "x"),
    ),
    "an included configuration": (
        INIT + "printf '[include]\\n\\tpath = ../evil\\n' >> .git/config;"
        " printf '[core]\\n\\tfsmonitor = EVIL\\n' > evil",
        lambda room: _naive(room, "status"),
    ),
    "a repository inside the worktree": (
        "mkdir -p sub && cd sub && " + INIT + "printf '[core]\\n\\tfsmonitor = EVIL\\n' >> .git/config; echo x > f",
        lambda room: _naive(room, "-C", "sub", "status"),
    ),
    "a pager": (
        INIT + "printf '[core]\\n\\tpager = EVIL\\n[pager]\\n\\tlog = EVIL\\n\\tstatus = EVIL\\n' >> .git/config",
        lambda room: _naive(room, "-c", "core.fsmonitor=touch " + str(room.outside / "pwned"), "status"),
    ),
    "a submodule with commands": (
        INIT + "printf '[submodule \"s\"]\\n\\tpath = s\\n\\turl = ext::sh -c EVIL\\n\\tupdate = !EVIL\\n' > .gitmodules;"
        " printf '[core]\\n\\tfsmonitor = EVIL\\n' >> .git/config",
        lambda room: _naive(room, "status"),
    ),
}  # fmt: skip
for _name, (_script, _by_trust) in PLANTS.items():
    attempt(_name, GROUP, _planted(_script, _by_trust)[0], wrote, _planted(_script, _by_trust)[1])


def _unkeepable(script: str) -> tuple[Callable[[Room], None], Callable[[Room], None]]:
    """Files that make git refuse to keep anything, so that no turn of the session could be saved."""

    def act(room: Room) -> None:
        room.limits = WIDE
        room.run(script)
        try:
            room.workspace.snapshot("turn", "refs/loom/sessions/11")
            room.run("true")
        except LoomError:
            room.said += "ESCAPED"

    def control(room: Room) -> None:
        subprocess.run(["sh", "-c", script], cwd=room.root, check=False, timeout=60)
        _naive(room, "init", "-q")
        if _naive(room, "add", "-A"):
            room.said += "ESCAPED"

    return act, control


UNKEEPABLE = {
    "an encoding that no file has": "echo '* working-tree-encoding=UTF-16LE-BOM' > .gitattributes; echo hi > u.txt",
    "an encoding that there is not": "echo '* text working-tree-encoding=NOPE' > .gitattributes; echo hi > u.txt",
}
for _name, _script in UNKEEPABLE.items():
    attempt(_name, GROUP, _unkeepable(_script)[0], claimed, _unkeepable(_script)[1])


def _redirected(room: Room) -> None:
    """A `.git` file that leads into somebody else's repository."""
    target = room.base / "other" / "repo"
    subprocess.run(["git", "init", "-q", str(target)], env=ENVIRONMENT, check=True)
    room.run(f"echo 'gitdir: {target}/.git' > .git; echo x > new")
    _platform_looks(room)


def _add_there(room: Room) -> None:
    _redirected(room)
    _naive(room, "add", "-A")


attempt("a .git that leads elsewhere", GROUP, _redirected, lambda room: (room.other / "repo/.git/index").exists(), _add_there)  # fmt: skip

OPTIONS = ("--upload-pack=touch {outside}/pwned", "--output={outside}/pwned", "-c core.sshCommand=touch {outside}/pwned",
           "--exec=touch {outside}/pwned", "ext::sh -c touch% {outside}/pwned", "HEAD --output={outside}/pwned")  # fmt: skip


def _option_names(room: Room) -> None:
    """Branches, commits and paths that are options."""
    for option in OPTIONS:
        for door in _doors(room, option.replace("{outside}", str(room.outside))):
            with contextlib.suppress(LoomError, OSError, ValueError):
                door()


def _doors(room: Room, option: str) -> tuple[Callable[[], object], ...]:
    hub, commit = room.hub, room.commit
    return (
        lambda: hub.head(option),
        lambda: hub.diff(option, commit),
        lambda: hub.diff(commit, option),
        lambda: hub.diff(commit, commit, [option]),
        lambda: hub.merge(option, commit),
        lambda: hub.log(5, option),
        lambda: hub.advance(option, commit, None),
        lambda: room.do("git_diff", paths=[option]),
        lambda: revision(option),
    )


attempt("names that are options", GROUP, _option_names, wrote, lambda room: _naive(room, "diff", "--no-index", f"--output={room.outside}/pwned", "a.txt", "src/b.py"))  # fmt: skip


def _option_files(room: Room) -> None:
    room.run(
        "touch -- '--output=pwned' '-c' '--exec=x' '$(touch pwned)' '`touch pwned`' 'a;touch pwned' ':(exclude)*'"
    )
    _platform_looks(room)
    room.do("git_diff", paths=["--output=pwned"])


attempt("files whose names are options", GROUP, _option_files, lambda room: (room.root / "pwned").exists(), lambda room: _naive(room, "diff", "--no-index", "--output=pwned", "a.txt", "src/b.py"))  # fmt: skip


def _imported(room: Room) -> None:
    """A repository that is taken over names commands to run."""
    evil = room.base / "evil"
    subprocess.run(["git", "init", "-q", "-b", "main", str(evil)], env=ENVIRONMENT, check=True)
    who = ("-c", "user.name=x", "-c", "user.email=x@x")
    subprocess.run(
        ["git", *who, "-C", str(evil), "commit", "-q", "--allow-empty", "-m", "x"],
        env=ENVIRONMENT,
        check=True,
    )
    with (evil / ".git/config").open("a") as config:
        config.write(
            f"[core]\n\tfsmonitor = touch {room.outside}/pwned\n[uploadpack]\n\tpackObjectsHook = touch {room.outside}/pwned\n"
        )
    for wanted in ("HEAD", "main", "--upload-pack=touch x", f"--upload-pack=touch {room.outside}/pwned"):
        with contextlib.suppress(LoomError):
            repository_import(Hub(room.base / "fresh.git"), evil, branch="main", wanted=wanted)


def _look_there(room: Room) -> None:
    _imported(room)
    _naive(room, "-C", str(room.base / "evil"), "status")


attempt("a repository that is taken over", GROUP, _imported, wrote, _look_there)  # fmt: skip

FETCH = "git -c core.sshCommand='touch {outside}/pwned' ls-remote ssh://x/y; git -c protocol.ext.allow=always ls-remote 'ext::sh -c touch% {outside}/pwned'; git ls-remote --upload-pack='touch {outside}/pwned' ."
attempt("git's options in a command", GROUP, FETCH, wrote)
attempt(
    "git's environment in a command",
    GROUP,
    "GIT_SSH_COMMAND='touch {outside}/pwned' git ls-remote ssh://x/y; GIT_EXTERNAL_DIFF='touch {outside}/pwned' git diff --no-index a.txt src/b.py",
    wrote,
)
attempt("the hub as a remote", GROUP, "git ls-remote {base}/hub.git && git --git-dir={base}/hub.git log && cat {base}/outside/secret.txt; git clone {base}/hub.git c && cat c/a.txt", lambda room: read(room) or (room.root / "c/a.txt").exists(), "mkdir c; echo x > c/a.txt")  # fmt: skip
attempt(
    "alternates and work trees",
    GROUP,
    "git init -q n && cd n && echo {base}/hub.git/objects > .git/objects/info/alternates && git --work-tree={outside} add -A && git ls-files -s | grep secret && cat {outside}/secret.txt",
    read,
    shell("echo escape-canary-90125"),
)
