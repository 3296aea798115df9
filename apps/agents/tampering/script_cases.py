"""Tests of JavaScript, TypeScript, Go and Rust, found by their words; comments are taken out first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from apps.agents.tampering.cases import EXACT, LOOSE, TRIVIAL, Case, Check, literals_in
from apps.agents.tampering.change import SCRIPT, File

_COMMENT = re.compile(
    r"(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|//[^\n]*|/\*.*?\*/", re.DOTALL
)
JS_TEST = re.compile(
    r"(?<![\w.$])(?P<skip>x|f)?(?P<kind>it|test|specify|describe|suite|context)(?P<mods>(?:\.\w+)*)\s*"
    r"(?P<table>\((?:[^()]|\([^()]*\))*\)\s*(?=\()|"
    r"`[^`]*`\s*(?=\())?\(\s*(?P<q>[\"'`])(?P<name>.*?)(?P=q)"
)
JS_SKIPS = {"skip", "todo", "fails", "failing", "skipIf", "runIf", "fixme"}
_LATER = re.compile(r"(?:\.(?:then|catch|finally)|\b(?:setTimeout|setImmediate|queueMicrotask|nextTick))\(")
RUST_MODULE = re.compile(r"#\[cfg\((?!test\s*\))[^\]]*\btest\b[^\]]*\)\]\s*(?:pub\s+)?mod\s+\w+")
GO_TEST = re.compile(
    r"^func (?P<name>(?:Test|Fuzz)\w*)\s*\(\s*(?P<arg>\w+)\s+\*testing\.[TF]\s*\)\s*\{", re.M
)
RUST_TEST = re.compile(
    r"(?P<attrs>(?:#\[[^\]]*\]\s*)*#\[(?:tokio::)?test\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*)"
    r"(?:pub\s+)?(?:async\s+)?fn\s+(?P<name>\w+)\s*\([^)]*\)[^{]*\{"
)
GO_CHECK = re.compile(r"\b\w+\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)\(|\b(?:assert|require)\.\w+\(")
RUST_CHECK = re.compile(r"\b(?:debug_)?assert(?:_eq|_ne|_matches)?!\s*\(|\bpanic!\s*\(")
JS_CHECK = re.compile(r"(?<![\w.$])(?:expect|assert(?:\.\w+)*|t\.\w+|should\.\w+)\s*\(|\.should\.")
LOOSE_MATCHERS = {
    "toBeTruthy", "toBeDefined", "toBeFalsy", "toBeInstanceOf", "toContain", "toBeGreaterThan",
    "toBeLessThan", "toBeGreaterThanOrEqual", "toBeLessThanOrEqual", "toMatchObject", "toHaveProperty",
    "ok", "exist", "exists", "isOk", "NotNil", "NotEmpty", "True", "NoError", "isDefined", "isTrue",
    "isFunction",
    "toBeNull", "toBeUndefined", "Contains", "anything",
}  # fmt: skip
MAX_TABLE = 50


@dataclass(frozen=True)
class Language:
    check: re.Pattern[str]
    skip: re.Pattern[str]


GO = Language(GO_CHECK, re.compile(r"\b\w+\.Skip(?:f|Now)?\("))
RUST = Language(RUST_CHECK, re.compile(r"#\[ignore"))
JS = Language(JS_CHECK, re.compile(r"(?<![\w$])this\.skip\(|\b(?:t|ctx|context)\.skip\("))


def script_cases(file: File, text: str) -> list[Case] | None:
    """Tests of a file; None if Loom cannot read its language."""
    plain = without_comments(text)
    if file.suffix in SCRIPT:
        return list(_js(file.path, plain))
    if file.suffix == ".go":
        off = "its build tag keeps it out" if re.search(r"^//\s*\+?(?:go:)?build ", text, re.M) else ""
        return [_plain_case(file.path, match, plain, GO, off) for match in GO_TEST.finditer(plain)]
    if file.suffix == ".rs":
        sometimes = bool(RUST_MODULE.search(plain))
        return [
            _plain_case(file.path, match, plain, RUST, sometimes=sometimes)
            for match in RUST_TEST.finditer(plain)
        ]
    return None


def without_comments(text: str) -> str:
    return _COMMENT.sub(lambda match: match[1] or " ", text)


def _js(path: str, text: str) -> Iterator[Case]:
    blocks = [(match, *_span(text, match.end())) for match in JS_TEST.finditer(text)]
    only = any(match["skip"] == "f" or ".only" in match["mods"] for match, _, _ in blocks)
    for match, start, end in blocks:
        if match["kind"] in {"describe", "suite", "context"}:
            continue
        around = [one for one, from_, to in blocks if from_ <= match.start() < to]
        chain = [match, *around]
        skipped = any(one["skip"] == "x" or _mods(one) & JS_SKIPS for one in chain)
        focused = any(one["skip"] == "f" or "only" in _mods(one) for one in chain)
        body = _awaited(text[start:end])
        times = _rows(match["table"] or "")
        names = [one["name"] for one in around]
        yield _case(
            path=path,
            name=" > ".join([*names, match["name"]]),
            body=body,
            checks=_checks(body, JS, times),
            skipped=skipped or bool(JS.skip.search(body)),
            why_not="`only` keeps it out" if only and not focused else "",
            pool=literals_in((match["table"] or "") + body),
        )


def _awaited(body: str) -> str:
    """Without what runs later, when nobody waits for it."""
    at = 0
    while match := _LATER.search(body, at):
        at = match.end()
        begin = max(body.rfind(mark, 0, match.start()) for mark in (";", "{", "\n")) + 1
        end = _closing(body, match.end() - 1, "()")
        inner, head = body[at:end], body[begin : match.start()]
        waits = re.search(r"\b(?:await|return|yield)\b|=>|expect\(", head) or re.search(
            r"\b(?:done|resolve|reject|next|cb|callback)\b", inner
        )
        if not waits and re.search(r"\bexpect\(|\bassert", inner):
            body = body[:at] + body[end:]
    return body


def _mods(match: re.Match[str]) -> set[str]:
    return set(match["mods"].split("."))


def _rows(table: str) -> int:
    if table.startswith("`"):
        return max(1, min(MAX_TABLE, table.count("\n") - 1))
    return max(1, min(MAX_TABLE, table.count("[") - 1)) if table else 1


def _plain_case(
    path: str,
    match: re.Match[str],
    text: str,
    language: Language,
    why_not: str = "",
    *,
    sometimes: bool = False,
) -> Case:
    body = text[match.end() : _closing(text, match.end() - 1)]
    attributes = match.groupdict().get("attrs") or ""
    checks = _checks(body, language, _table(body))
    if "should_panic" in attributes:  # what else it checks can only help it
        panics = Check("panics", attributes, LOOSE, subject="should_panic")
        checks = [panics, *(replace(check, strength=TRIVIAL) for check in checks)]
    if re.search(r"\b[tb]\s*:?=\s*&?(?:new\()?testing\.[TB]\b", body):
        why_not = why_not or "it reports to nobody"
    sometimes = sometimes or "#[cfg(" in attributes
    return _case(
        path=path,
        name=match["name"],
        body=body,
        checks=checks,
        skipped=bool(language.skip.search(attributes + body)) or sometimes,
        why_not=why_not,
        pool=literals_in(body),
        on_condition=sometimes,
    )


def _table(body: str) -> int:
    """Rows of a table of cases written in the test itself."""
    rows = re.findall(r"^\s*\{.*\},?\s*$", body, re.M)
    return max(1, min(MAX_TABLE, len(rows)))


def _case(
    *,
    path: str,
    name: str,
    body: str,
    checks: list[Check],
    skipped: bool,
    why_not: str,
    pool: frozenset[str],
    on_condition: bool = False,
) -> Case:
    early = re.match(r"\s*(?:\(\s*\w*\s*\)\s*=>\s*\{|\{)?\s*return\s*;?\s*\n", body)
    if early and checks:
        why_not = why_not or "it returns before it has checked anything"
    if re.search(r"\bcatch\s*(?:\([^)]*\))?\s*\{\s*\}", body) and checks:
        why_not = why_not or "an empty catch swallows its failures"
    replaced = re.findall(
        r"(?:spyOn|stub|replace)\([^,]+,\s*[\"'](\w+)[\"']\s*\)\s*\.?(?:mock|returns|callsFake)", body
    )
    real = any(check.strength for check in checks)
    calls = re.search(r"\w\s*\(", re.sub(r"\b(?:expect|assert|function|async)\b", "", body))
    return Case(
        path=path, name=name, checks=tuple(checks), body=" ".join(body.split())[:20_000], skipped=skipped,
        on_condition=on_condition, why_not=why_not, pool=pool, replaced=frozenset(replaced),
        is_empty=not real and not calls,
    )  # fmt: skip


def _checks(body: str, language: Language, times: int) -> list[Check]:
    found = []
    for match in language.check.finditer(body):
        opening = body.find("(", match.end() - 1) if not match[0].endswith("(") else match.end() - 1
        inner = body[opening + 1 : _closing(body, opening, "()")] if opening >= 0 else ""
        end = opening + len(inner) + 2
        said = re.match(r"\s*((?:\.\w+)+)\s*(?:\(((?:[^()]|\([^()]*\))*)\))?", body[end : end + 400])
        found.append(_check(match[0], inner.strip(), said, body, match.start(), times))
    return found


def _check(head: str, inner: str, said: re.Match[str] | None, body: str, at: int, times: int) -> Check:
    matcher = (
        said[1].rpartition(".")[2]
        if said and head.startswith("expect")
        else head.rstrip("( ").rpartition(".")[2]
    )
    parts = _split(inner)
    left = parts[0] if parts else ""
    right = (said[2] or "") if said and head.startswith("expect") else ", ".join(parts[1:])
    if re.match(r"\w+\.(?:Error|Fatal|Fail)", head):  # Go: what matters is the condition before it
        left, right = body[body.rfind("if ", 0, at) + 3 : body.rfind("{", 0, at)].strip(), ""
    if head.startswith(("assert.", "require.")) and left in {"t", "tb"} and len(parts) > 1:
        left, right = parts[-1], parts[1] if len(parts) > 2 else ""
    strength = LOOSE if matcher in LOOSE_MATCHERS or right.startswith("expect.any") else EXACT
    if head.startswith("expect(") and said is None:  # nothing is expected of it
        strength = TRIVIAL
    if _vacuous(left, right, matcher):
        strength = TRIVIAL
    calls = re.findall(r"([A-Za-z_][\w]*)\s*!?\(", left)
    return Check(
        left=" ".join(left.split())[:400], right=f"{matcher} {right}".strip()[:400], strength=strength,
        subject=calls[0] if calls else "", weight=times, given=literals_in(left), expected=literals_in(right),
    )  # fmt: skip


_CONSTANT = re.compile(
    r"(?:true|false|null|undefined|nil|!0|!!?1|-?\d+(?:\.\d+)?|\"[^\"]*\"|"
    r"'[^']*')(?:\s*[!=]==?\s*(?:true|false|null|nil|-?\d+))?"
)


def _vacuous(left: str, right: str, matcher: str) -> bool:
    if not left:
        return False
    if left == right.strip() and matcher not in {"not", "assert_ne"}:
        return True
    if re.search(r"(?:^|;\s*)(\w+)\s*[!=]==?\s*\1$", left):
        return True
    if re.fullmatch(r"(.+?)\s*(?:\|\|)\s*true|true\s*\|\|.+", left):
        return True
    return bool(_CONSTANT.fullmatch(left)) and (not right or bool(_CONSTANT.fullmatch(right.strip())))


def _split(inner: str) -> list[str]:
    """Arguments at the top level."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(inner):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(inner[start:at].strip())
            start = at + 1
    return [*parts, inner[start:].strip()] if inner.strip() else []


def _span(text: str, after_name: int) -> tuple[int, int]:
    """Where the rest of the call's arguments lies: the test's function."""
    depth = 1
    for at in range(after_name, min(len(text), after_name + 200_000)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth == 0:
            return text.find(",", after_name) + 1 or after_name, at
    return after_name, len(text)


def _closing(text: str, opening: int, pair: str = "{}") -> int:
    """The place of the bracket that closes the one at `opening`."""
    depth = 0
    for at in range(opening, len(text)):
        if text[at] == pair[0]:
            depth += 1
        elif text[at] == pair[1]:
            depth -= 1
            if depth == 0:
                return at
    return len(text)
