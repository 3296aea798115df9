"""Actions in a reply's text: every form that models use, in order, with what could not be read and where."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from apps.agents.actions import ORCHESTRATE, REGISTRY
from apps.agents.actions.registry import plain_name
from apps.agents.replies import language, pythonish, tags
from apps.agents.replies.jsonish import Broken, Found, closers_missing, read_value
from apps.agents.replies.quoting import Quoting
from apps.agents.replies.recovery import Recovered, recover
from apps.agents.replies.shapes import LISTS, Spoken, is_known, is_name, listed, notes_of, spoken_of
from apps.agents.replies.thinking import THOUGHT, thought_end

# Where a model goes on to play the other side: nothing from there on is meant.
_OTHERS = re.compile(
    r"<\|im_start\|>(?:user|tool|system)|<\|start_header_id\|>(?:user|ipython|tool|system)|<\|(?:user|observation)\|>"
    r"|(?m:^)(?:Human|User|Observation|Tool (?:output|result))[ ]?:[ ]"
)
# What a tool answered, or what a model makes up as an answer.
_TOLD = re.compile(r"<(?:tool_response|tool_result|function_results|function_response)>")
_START = re.compile(
    rf"""(?P<loom>{language.OPENING.pattern})|(?P<told>{_TOLD.pattern})|(?P<comment>(?<!`)<!--)|(?P<thought>(?i:{THOUGHT.pattern}))|(?P<others>{_OTHERS.pattern})"""
    rf"""|(?P<python>{pythonish.OPENING.pattern})"""
    rf"""|(?P<call>{tags.OPENING.pattern})|\{{(?=\s*["'“‘A-Za-z_/#])|\[(?=\s*\{{)"""
)
_LIST = re.compile(rf"""["']?\b(?:{"|".join(LISTS)})["']?\s*+:\s*+\[""")
_ENVELOPE = re.compile(r"""\{\s*+["']?(?:actions|tool_calls|notes?|thoughts?|reasoning|plan)["']?\s*+:""")
_SINGLE = re.compile(r"""\{\s*+["']?(?:action|type|tool|name)["']?\s*+:\s*+["']([\w.-]{1,64})["']""")
_AROUND = re.compile(r"\s*(?:```\w*|</?tool_call>|\\boxed)?\s*")
_OPENED = re.compile(r"<tool_call>\s*\Z")
# Reading what is no JSON costs time; after this many characters the rest of a reply is not looked at.
_EFFORT = 150_000
_ATTEMPT = 30


@dataclass
class TextReading:
    """`problems` are (offset, reason); `prose` is the text outside of what was read as data."""

    calls: list[Spoken] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    orders: list[language.Problem] = field(default_factory=list)  # what is wrong with blocks of the language
    shown: int | None = None  # where the first action stands that is only shown
    notes: str = ""
    prose: str = ""


def read_text(text: str, start: int) -> TextReading:
    """All actions in `text` from `start` on."""
    return _Scan(text, start).read()


def orchestration(instruction: language.Instruction) -> Spoken:
    """An instruction as the action that carries it out."""
    return Spoken(ORCHESTRATE, instruction.arguments())


def _end_of_answer(text: str) -> int:
    """The end of the text without fences and tags that only close."""
    end = len(text)
    while True:
        bare = text[:end].rstrip()
        shorter = next(
            (bare.removesuffix(one) for one in ("```", "</tool_call>") if bare.endswith(one)), bare
        )
        if len(shorter) == end:
            return end
        end = len(shorter)


class _Scan:
    def __init__(self, text: str, start: int) -> None:
        self.text, self.start = text, start
        before = _AROUND.match(text, start)
        self.first, self.last = before.end() if before else start, _end_of_answer(text)
        self.effort = _EFFORT
        self.python = pythonish.PythonCalls(text)
        self.quoting = Quoting(text, start)
        self.closings = language.last_closing(text)
        self.comments = text.rfind("-->")
        self.reading = TextReading()
        self.prose: list[str] = []

    def read(self) -> TextReading:
        at = self.start
        while match := _START.search(self.text, at):
            self._words(at, match.start())
            at = self._part(match)
            if self.effort < 0:
                self.reading.problems.append(
                    (at, "too much of the reply is unreadable; the rest was not read")
                )
                break
        else:
            self._words(at, len(self.text))
        self.reading.prose = "".join(self.prose).strip()
        return self.reading

    def _words(self, begin: int, end: int) -> None:
        self.prose.append(self.text[begin:end])
        self.quoting.pass_over(begin, end)

    def _show(self, at: int) -> None:
        if self.reading.shown is None:
            self.reading.shown = at

    def _part(self, match: re.Match[str]) -> int:
        """Read what begins at `match`; where to go on."""
        if match["loom"]:
            return self._block(match)
        if match["thought"]:
            return thought_end(self.text, match)
        if match["others"]:
            return len(self.text) if self.reading.calls else match.end()
        if match["told"]:
            end = self.text.find("</" + match["told"][1:], match.end())
            return end if end > 0 else len(self.text)
        if match["comment"]:
            end = self.text.find("-->", match.end()) if match.end() <= self.comments else -1
            return max(end, match.end())
        if match["python"]:
            return self._python(match)
        return self._call(match) if match["call"] else self._document(match.start())

    def _python(self, match: re.Match[str]) -> int:
        opening = pythonish.OPENING.match(self.text, match.start())
        if opening is None:
            return match.end()
        try:
            found = self.python.read(opening)
        except Broken as broken:
            self.effort -= broken.reach - match.start() + _ATTEMPT
            self._problem(broken.at, broken.why)
            return len(self.text) if broken.cut else max(broken.reach, match.end())
        if found is None:
            self.effort -= _ATTEMPT
            return match.end()
        if self.quoting.is_shown(match.start(), in_program=False):
            self._show(match.start())
        else:
            self.reading.calls += found[0]
        return found[1]

    def _block(self, match: re.Match[str]) -> int:
        opening = language.OPENING.match(self.text, match.start())
        if opening is None:
            return match.end()
        block = language.read_block(self.text, opening, self.closings)
        self.reading.calls += [orchestration(instruction) for instruction in block.instructions]
        self.reading.orders += block.problems
        return block.end

    def _problem(self, at: int, why: str) -> None:
        self.reading.problems.append((at, why))

    def _call(self, match: re.Match[str]) -> int:
        opening = tags.OPENING.match(self.text, match.start())
        if opening is None:
            return match.end()
        self.quoting.pass_over(match.start(), opening.end())
        try:
            spoken, end = tags.read_call(self.text, opening)
        except Broken as broken:
            self.effort -= broken.reach - match.start() + _ATTEMPT
            if is_known(tags.name_of(opening)) and not self.quoting.is_shown(match.start()):
                self._problem(broken.at, broken.why)
                return len(self.text) if broken.cut else max(broken.reach, match.end())
            return match.end()
        if self.quoting.is_shown(match.start()) or self.quoting.is_quoted(match.start(), end):
            self._show(match.start())
        else:
            self.reading.calls.append(spoken)
            self.quoting.taken = end
        return end

    def _document(self, at: int) -> int:
        is_shown = self.quoting.is_shown(at)
        try:
            found = self._value(at)
        except Broken as broken:
            self.effort -= broken.reach - at + _ATTEMPT
            return at + 1 if is_shown else self._broken(at, broken)
        if is_shown or self._is_mentioned(at, found.end):
            if self._is_ours(found.value, listed(found.value) or [found.value]):
                self._show(at)
            return found.end
        if found.doubt:
            return self._broken(at, Broken(*found.doubt), whole=found.end)
        if self._accept(found, at):
            self.quoting.taken = found.end
        else:
            self.effort -= _ATTEMPT
        return found.end

    def _is_mentioned(self, at: int, end: int) -> bool:
        return self.quoting.is_quoted(at, end) or self.quoting.is_part_of_line(at, end)

    def _value(self, at: int) -> Found:
        """The value at `at`; a call that its tag closes may lack brackets at its end."""
        try:
            return read_value(self.text, at)
        except Broken:
            if not _OPENED.search(self.text, max(0, at - 40), at):
                raise
            end = self.text.find("</tool_call>", at)
            piece = self.text[at:end]
            closers = closers_missing(piece, 0) if end >= 0 else None
            if not closers:
                raise
            found = read_value(piece + closers, 0)
            return Found(found.value, end, strict=False, doubt=found.doubt)

    def _accept(self, found: Found, at: int) -> bool:
        """Take the actions of a sound value; False if it has nothing to do with actions."""
        items = listed(found.value)
        if items is not None and self._is_ours(found.value, items):
            self._take_list(items, at)
            self.reading.notes = self.reading.notes or notes_of(found.value)
            return True
        spoken = spoken_of(found.value)
        if spoken is None or not isinstance(found.value, dict):
            return False
        alone = self._is_whole(at, found.end)
        if is_known(spoken.name):
            # Short names of other tools ("test", "status") are common words in data that is merely shown.
            if alone or plain_name(spoken.name) in REGISTRY or found.value.get("type") != spoken.name:
                self.reading.calls.append(spoken)
                self.reading.notes = self.reading.notes or notes_of(found.value)
                return True
        elif alone and is_name(spoken.name):
            self._problem(at, f"{spoken.name!r} is not an action")
            return True
        return False

    @staticmethod
    def _is_ours(value: Any, items: list[Any]) -> bool:
        if isinstance(value, dict) and "actions" in value:
            return True
        return any((spoken := spoken_of(item)) is not None and is_known(spoken.name) for item in items)

    def _take_list(self, items: list[Any], at: int) -> None:
        if not items:
            self._problem(at, "the list of actions is empty; take at least one")
        for number, item in enumerate(items, 1):
            spoken = spoken_of(item)
            if spoken is None:
                self._problem(at, f'item {number} of the list is no action object with a "type"')
            else:
                self.reading.calls.append(spoken)

    def _is_whole(self, at: int, end: int) -> bool:
        """Nothing but a fence or a tag stands around this part of the answer."""
        return (at, end) == (self.first, self.last)

    def _broken(self, at: int, broken: Broken, whole: int | None = None) -> int:
        """Save what is complete of a broken envelope, report a broken action, pass over anything else."""
        actions = self._list_start(at, broken)
        if actions is not None:
            return self._take_recovered(recover(self.text, actions))
        single = _SINGLE.match(self.text, at)
        if single and is_known(single[1]):
            self._problem(broken.at, f"in {single[1]}, {broken.why}")
            # Behind a lost quote nothing can be told from the text of this action.
            return whole or (len(self.text) if broken.quotes or broken.cut else max(broken.reach, at + 1))
        return at + 1

    def _list_start(self, at: int, broken: Broken) -> int | None:
        if self.text[at] == "[":
            first = _SINGLE.match(self.text, self.text.find("{", at))
            return at + 1 if first and is_known(first[1]) else None
        # Behind a lost quote the list may stand anywhere, but only an envelope is worth the search.
        far = broken.quotes and _ENVELOPE.match(self.text, at)
        match = _LIST.search(self.text, at) if far else _LIST.search(self.text, at, broken.at + 1)
        if far:
            self.effort -= ((match.end() if match else len(self.text)) - at) // 10
        return match.end() if match else None

    def _take_recovered(self, got: Recovered) -> int:
        for at, found in got.items:
            spoken = spoken_of(found.value)
            if spoken is None:
                self._problem(at, 'this object has no "type"')
            elif found.doubt:
                self._problem(found.doubt[0], f"in {spoken.name}, {found.doubt[1]}")
            elif not found.strict and got.guessed:
                self._problem(at, f"{spoken.name} is not strict JSON, nor is the list around it")
            else:
                self.reading.calls.append(spoken)
        self.reading.problems.extend(got.problems)
        self.reading.notes = self.reading.notes or got.notes
        if not got.items and not got.problems:
            self._problem(got.end, "the list of actions is empty; take at least one")
        return max(got.end, self.start + 1)
