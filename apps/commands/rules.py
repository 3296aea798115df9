"""Rules on commands: patterns, what they match, and those that hold in every project.

A pattern is matched against a whole simple command after expansion: `*` stands for any text, `?` for one
character. A pipeline is matched too, its stages joined by ` | `.
"""

from __future__ import annotations

import fnmatch
import functools
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from apps.commands.reading import Simple
from apps.commands.words import MANY, UNKNOWN, is_unknown

ALLOW, ASK, DENY = "allow", "ask", "deny"
VERDICTS = (DENY, ASK, ALLOW)  # the first wins where two patterns are equally exact
FREE = tuple(f"{place}/" for place in ("/work", "/tmp", "/home/agent", "/dev/shm"))  # noqa: S108 - in the sandbox
LONGEST = 4000  # characters of a command that unknown parts are tried in


@dataclass(frozen=True)
class Rule:
    """`test` stands in for the pattern where a pattern cannot say it."""

    verdict: str
    pattern: str
    reason: str = ""
    is_default: bool = False
    test: Callable[[Simple], bool] | None = None

    def matches(self, command: Simple) -> bool:
        """To be denied or asked about it is enough what unknown parts may be; not so to be allowed."""
        if self.test is not None:
            return self.test(command)
        if command.is_pipe != ("|" in self.pattern):
            return False
        return any(_matches(self.pattern, text, self.verdict != ALLOW) for text in command.spellings)

    @property
    def exactness(self) -> int:
        return len(re.sub(r"\[([*?\[])\]", r"\1", self.pattern).replace("*", ""))


def _matches(pattern: str, text: str, worst: bool) -> bool:
    if not is_unknown(text) or not worst:
        return _compiled(pattern).fullmatch(text) is not None
    return _may_match(pattern, text[:LONGEST])


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    # "git push*" is meant to match "git push" and "git push x", and "rm *" also a bare "rm".
    if pattern.endswith(" *"):
        return re.compile(f"{fnmatch.translate(pattern)}|{fnmatch.translate(pattern[:-2])}", re.DOTALL)
    return re.compile(fnmatch.translate(pattern), re.DOTALL)


def _may_match(pattern: str, text: str) -> bool:
    """Whether the pattern matches the text for some value of its unknown parts: wildcards on both sides."""
    if pattern.endswith(" *") and _may_match(pattern[:-2], text):
        return True
    wanted = re.findall(r"\[.\]|.", pattern, re.DOTALL)
    reached = {0}
    for char in text:
        reached = _stars(reached, wanted)
        if char in {UNKNOWN, MANY}:
            reached = set(_anywhere(reached, wanted, char == MANY))
        else:
            reached = {
                at if wanted[at] == "*" else at + 1
                for at in reached
                if at < len(wanted) and _accepts(wanted[at], char)
            }
        if not reached:
            return False
    return len(wanted) in _stars(reached, wanted)


def _anywhere(reached: set[int], wanted: list[str], spaces: bool) -> Iterator[int]:
    """Where an unknown part may lead: to the end of the word, or of the pattern."""
    for start in reached:
        yield start
        for at in range(start, len(wanted)):
            if wanted[at] == " " and not spaces:
                break
            yield at + 1


def _stars(reached: set[int], wanted: list[str]) -> set[int]:
    found = set(reached)
    for start in reached:
        for at in range(start, len(wanted)):
            if wanted[at] != "*":
                break
            found.add(at + 1)
    return found


def _accepts(wanted: str, char: str) -> bool:
    return wanted in {"*", "?", char, f"[{char}]"}


def exactly(text: str) -> str:
    """The pattern that matches this text alone."""
    return re.sub(r"([*?\[])", r"[\1]", text)


# -- what holds everywhere ---------------------------------------------------------------------------


def _removes_outside(command: Simple) -> bool:
    """`rm -r` of the whole worktree or of anything that is not in it."""
    if command.name != "rm" or command.is_pipe:
        return False
    values = [word.value for word in command.words[1:]]
    flags = [value for value in values if value.startswith("-")]
    if not any(flag == "--recursive" or (flag[1:2] != "-" and set(flag) & set("rR")) for flag in flags):
        return False
    return any(_is_outside(value) for value in values if not value.startswith("-"))


def _is_outside(path: str) -> bool:
    if is_unknown(path[:1]):
        return True
    real = posixpath.normpath(posixpath.join("/work", re.sub(f"[{UNKNOWN}{MANY}]", "x", path)))
    return not any((real + "/").startswith(place) and real + "/" != place for place in FREE)


PLATFORM = "The platform keeps the history and publishes it; use done when the work is finished."
RIGHTS = "Commands run without special rights, and need none."
FETCHED = "A script from the network would run unread; save it, read it, then run it."
PUBLISHES = "This publishes something outside of the project."
_SHELLS = ("sh", "bash", "zsh", "dash", "python*", "node", "perl", "ruby")
_DENIED = {
    PLATFORM: (
        "git push*", "git remote add*", "git remote set-url*", "git config*", "git send-email*",
        "git credential*", "git filter-branch*",
    ),
    "Options of git that make it run other programs are not allowed.": (
        "git -c *", "git --exec-path*", "git --config-env*", "GIT_*=* git*",
        *(f"git {verb} *{option}*"
          for verb in ("fetch", "pull", "clone", "ls-remote", "fetch-pack", "archive")
          for option in ("--upload-pack", "--exec", "-u ", "--config", "-c ", "ext::")),
    ),
    RIGHTS: (
        "sudo *", "su *", "doas *", "chroot *", "mount *", "umount *", "unshare *", "nsenter *", "mkfs*",
        "insmod *", "modprobe *", "systemctl *", "service *", "crontab *", "shutdown *", "reboot *",
        "poweroff *", "halt *", "dd * of=/dev/*",
    ),
    "An alias hides which program runs; write the command out.": ("alias *=*",),
    FETCHED: tuple(
        f"{fetcher} * | {between}{shell}{rest}"
        for fetcher in ("curl", "wget") for between in ("", "* | ") for shell in _SHELLS
        for rest in ("", " *")
    ),
}  # fmt: skip
_ASKED = {
    PUBLISHES: (
        "npm publish*", "npm unpublish*", "yarn publish*", "pnpm publish*", "twine upload*", "uv publish*",
        "poetry publish*", "cargo publish*", "gem push*", "docker push*", "gh *", "glab *",
    ),
    "This reaches another machine.": ("ssh *", "scp *", "sftp *", "rsync *::*", "rsync *@*"),
}  # fmt: skip

DEFAULTS: tuple[Rule, ...] = (
    Rule(DENY, "rm -r <outside>", "Only parts of the worktree may be removed.", True, _removes_outside),
    *(Rule(DENY, one, why, True) for why, patterns in _DENIED.items() for one in patterns),
    *(Rule(ASK, one, why, True) for why, patterns in _ASKED.items() for one in patterns),
)
