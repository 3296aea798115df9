"""Programs that run other programs: what the words after them come to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.commands.words import MANY, UNKNOWN, Word

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "rbash"})
EVALUATORS = {"eval", "trap"}
# Program -> its options that take a separate value, and how many words stand before the command.
WRAPPERS: dict[str, tuple[frozenset[str], int]] = {
    "env": (frozenset({"-u", "--unset", "-C", "--chdir"}), 0),
    "timeout": (frozenset({"-k", "--kill-after", "-s", "--signal"}), 1),
    "nice": (frozenset({"-n", "--adjustment"}), 0),
    "ionice": (frozenset({"-c", "--class", "-n", "--classdata"}), 0),
    "chrt": (frozenset(), 1),
    "taskset": (frozenset(), 1),
    "nohup": (frozenset(), 0),
    "setsid": (frozenset(), 0),
    "stdbuf": (frozenset({"-i", "-o", "-e", "--input", "--output", "--error"}), 0),
    "unbuffer": (frozenset(), 0),
    "time": (frozenset({"-f", "--format", "-o", "--output"}), 0),
    "command": (frozenset(), 0),
    "builtin": (frozenset(), 0),
    "exec": (frozenset({"-a"}), 0),
    "coproc": (frozenset(), 0),
    "busybox": (frozenset(), 0),
    "strace": (frozenset({"-e", "-o", "-p", "-s", "-u", "-E"}), 0),
    "ltrace": (frozenset({"-e", "-o", "-p", "-s", "-u"}), 0),
    "fakeroot": (frozenset(), 0),
    "flock": (frozenset({"-w", "--timeout", "-E"}), 1),
    "setarch": (frozenset(), 1),
    "watch": (frozenset({"-n", "--interval"}), 0),
    "xargs": (
        frozenset({"-I", "-n", "-P", "-L", "-d", "-E", "-s", "-a", "--max-args", "--max-procs", "--max-lines",
                   "--delimiter", "--arg-file", "--max-chars", "--replace"}),
        0,
    ),
    "parallel": (frozenset({"-j", "--jobs", "-n", "-N", "-I", "-a"}), 0),
    "sudo": (frozenset({"-u", "-g", "-C", "-h", "-p", "-U", "-r", "-t"}), 0),
    "doas": (frozenset({"-u", "-C"}), 0),
}  # fmt: skip
FINDS = {"-exec", "-execdir", "-ok", "-okdir"}
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_LOOKS_UP = {"-v", "-V"}


@dataclass(frozen=True)
class Inner:
    """A command that another one runs: its words, or a script still to be read."""

    words: tuple[Word, ...] = ()
    script: Word | None = None


def inner_commands(words: Sequence[Word], stdin: Word | None) -> list[Inner]:
    """What a command runs beside itself; `stdin` is what it is fed where that is known."""
    name = words[0].value.rpartition("/")[2]
    if name in SHELLS:
        return _shell(words[1:], stdin)
    if name == "find":
        return _find(words)
    if name in EVALUATORS:
        return _evaluated(name, words[1:])
    if name in {"su", "script", "flock", "runuser"} and (script := _after(words, "-c", "--command")):
        return [Inner(script=script)]
    if name == "env" and (script := _after(words, "-S", "--split-string")):
        return [Inner(script=script)]
    if name in WRAPPERS:
        return _wrapped(name, words[1:])
    if name == "git":
        return _git(words[1:])
    return []


def _wrapped(name: str, words: Sequence[Word]) -> list[Inner]:
    takes_value, leading = WRAPPERS[name]
    rest = list(words)
    while rest:
        value = rest[0].value
        if value == "--":
            rest.pop(0)
            break
        if name == "command" and value in _LOOKS_UP:
            return []
        if ASSIGNMENT.match(value):
            rest.pop(0)
        elif value.startswith("-") and len(value) > 1:
            rest.pop(0)
            if value in takes_value and rest:
                rest.pop(0)
        else:
            break
    rest = rest[leading:]
    while rest and ASSIGNMENT.match(rest[0].value):
        rest.pop(0)
    if not rest:
        return []
    if name in {"watch", "parallel"} and " " in rest[0].value:
        return [Inner(script=_joined(rest))]
    fed = [Word(MANY, "…")] if name in {"xargs", "parallel"} else []
    return [Inner(words=(*rest, *fed))]


def _shell(words: Sequence[Word], stdin: Word | None) -> list[Inner]:
    rest = list(words)
    takes_script = False
    while rest and rest[0].value[:1] in {"-", "+"} and rest[0].value not in {"-", "--"}:
        option = rest.pop(0).value
        if not option.startswith("--") and "c" in option[1:]:
            takes_script = True
        if option in {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"} and rest:
            rest.pop(0)
    if rest and rest[0].value == "--":
        rest.pop(0)
    if takes_script:
        return [Inner(script=rest[0])] if rest else []
    if rest and rest[0].value not in {"-", "/dev/stdin"}:
        return []  # a file of the repository: run as it is
    return [Inner(script=stdin)] if stdin is not None else []


def _find(words: Sequence[Word]) -> list[Inner]:
    found: list[Inner] = []
    place = 0
    while place < len(words):
        if words[place].value not in FINDS:
            place += 1
            continue
        end = place + 1
        while end < len(words) and words[end].value not in {";", "+"}:
            end += 1
        if command := tuple(_of_find(word) for word in words[place + 1 : end]):
            found.append(Inner(words=command))
        place = end + 1
    return found


def _of_find(word: Word) -> Word:
    return Word(word.value.replace("{}", UNKNOWN), word.shown)


def _evaluated(name: str, words: Sequence[Word]) -> list[Inner]:
    words = [word for word in words if word.value != "--"]
    if name == "trap":
        return [Inner(script=words[0])] if len(words) > 1 and words[0].value not in {"", "-", "-l"} else []
    return [Inner(script=_joined(words))] if words else []


def _git(words: Sequence[Word]) -> list[Inner]:
    values = [word.value for word in words]
    if "foreach" in values and "submodule" in values:
        rest = list(words[values.index("foreach") + 1 :])
        while rest and rest[0].value.startswith("-"):
            rest.pop(0)
        return [Inner(script=_joined(rest))] if rest else []
    if values[:2] == ["bisect", "run"] and words[2:]:
        return [Inner(words=tuple(words[2:]))]
    if "rebase" in values and (script := _after(words, "-x", "--exec")):
        return [Inner(script=script)]
    return []


def _after(words: Sequence[Word], *options: str) -> Word | None:
    for place, word in enumerate(words):
        if word.value in options and place + 1 < len(words):
            return words[place + 1]
        for option in options:
            if option.startswith("--") and word.value.startswith(f"{option}="):
                rest = word.value.partition("=")[2]
                return Word(rest, rest)
    return None


def _joined(words: Sequence[Word]) -> Word:
    return Word(" ".join(word.value for word in words), " ".join(word.shown for word in words))
