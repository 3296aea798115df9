"""Native tool calls: arguments as servers and models spoil them, several at once, ids that repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.agents.corpus.cases import PAYLOADS, TYPED, Case, Said


def tool_call(arguments: Any, name: Any = "read_file", id_: Any = "call_1") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


ONE_MEANING: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": ('{"path": "a"}', {"path": "a"}),
    "an object": ({"path": "a"}, {"path": "a"}),
    "nothing": ("", {}),
    "null": (None, {}),
    "the word null": ("null", {}),
    "an empty object": ("{}", {}),
    "spaces around": ('\n {"path": "a"} \n', {"path": "a"}),
    "trailing comma": ('{"path": "a",}', {"path": "a"}),
    "single quotes": ("{'path': 'a'}", {"path": "a"}),
    "smart quotes": ("{“path”: “a”}", {"path": "a"}),
    "no quotes at the key": ('{path: "a"}', {"path": "a"}),
    "Python's words": ("{'regex': True, 'path': None}", {"regex": True, "path": None}),
    "a comment": ('{"path": "a" /* here */}', {"path": "a"}),
    "a line comment": ('{\n"path": "a" // here\n}', {"path": "a"}),
    "raw line breaks": ('{"content": "one\n\ttwo"}', {"content": "one\n\ttwo"}),
    "an escape that is none": ('{"query": "\\w+"}', {"query": "\\w+"}),
    "no last brace": ('{"path": "a"', {"path": "a"}),
    "no closing brackets": ('{"acceptance": ["a", "b"', {"acceptance": ["a", "b"]}),
    "a brace too many": ('{"path": "a"}}', {"path": "a"}),
    "a closing tag": ('{"path": "a"}</tool_call>', {"path": "a"}),
    "an end marker": ('{"path": "a"}<|im_end|>', {"path": "a"}),
    "sent twice": ('{"path": "a"}{"path": "a"}', {"path": "a"}),
    "fenced": ('```json\n{"path": "a"}\n```', {"path": "a"}),
    "encoded twice": (json.dumps('{"path": "a"}'), {"path": "a"}),
    "encoded three times": (json.dumps(json.dumps('{"path": "a"}')), {"path": "a"}),
    "an empty one before": ('{}{"path": "a"}', {"path": "a"}),
    "a bag within": ('{"arguments": {"path": "a"}}', {"path": "a"}),
    "name and arguments within": (
        '{"name": "read_file", "arguments": {"path": "a"}}',
        {"path": "a"},
    ),
    "unicode": ('{"path": "größe"}', {"path": "größe"}),
    "escaped unicode": ('{"path": "gr\\u00f6\\u00dfe"}', {"path": "größe"}),
    "an action in a text": ('{"content": "{\\"action\\": \\"done\\"}"}', {"content": '{"action": "done"}'}),
    "a fence in a text": ('{"content": "```json\\n{}\\n```"}', {"content": "```json\n{}\n```"}),
}  # fmt: skip
NO_MEANING: dict[str, Any] = {
    "cut in a text": '{"path": "src/a',
    "cut behind a comma": '{"path": "a",',
    "cut in a number": '{"path": "a", "limit": 12',
    "cut behind a key": '{"path"',
    "cut behind a colon": '{"path":',
    "two different ones": '{"path": "a"}{"path": "b"}',
    "a quote lost": '{"command": "echo "hi""}',
    "both kinds of line breaks": '{"content": "a\\nb\nc"}',
    "a list": "[1, 2]",
    "a word": "a.py",
    "a number": 7,
    "a NUL": '{"content": "\\u0000"}',
    "half a pair": {"content": "\ud800"},
    "too deep": '{"a":' * 100 + "1" + "}" * 100,
    "prose": "I would like to read a.py",
    "words before": 'path is {"path": "a"} and so on',
}  # fmt: skip


def native_cases() -> Iterator[Case]:
    for slip, (sent, arguments) in ONE_MEANING.items():
        read: Said = ("read_file", arguments)
        yield Case(f"native, {slip}: alone", "", (read,), True, (tool_call(sent),))
        two = (tool_call("{}", "git_status", "a"), tool_call(sent, id_="b"))
        yield Case(f"native, {slip}: second", "Look.", (("git_status", {}), read), True, two)
    for slip, sent in NO_MEANING.items():
        yield Case(f"native, {slip}: alone", "", (), False, (tool_call(sent),))
        two = (tool_call(sent), tool_call("{}", "git_status", "b"))
        yield Case(f"native, {slip}: first", "", (("git_status", {}),), False, two)
    for payload, said in (PAYLOADS | TYPED).items():
        for ids in ("one id", "no id", "good ids"):
            calls = tuple(
                tool_call(json.dumps(args), name, {"one id": "x", "no id": ""}.get(ids, f"call_{n}"))
                for n, (name, args) in enumerate(said)
            )
            yield Case(f"native, {ids}: {payload}", "", said, True, calls)
    yield from _names()


def _names() -> Iterator[Case]:
    for sent, read in (
        (" done ", "done"),
        ("done<|channel|>commentary", "done"),
        ("fly", "fly"),
        ("functions.done", "functions.done"),
        ("ReadFile", "ReadFile"),
    ):
        yield Case(f"native, a name: {sent}", "", ((read, {}),), True, (tool_call("{}", sent),))
    for name in (None, "", 3, "<|x|>"):
        yield Case(f"native, no name: {name}", "", (), False, (tool_call("{}", name),))
    words = '{"actions": [{"type": "git_status"}]}'
    call = tool_call("{}", "git_status")
    yield Case("native, and the same in words", words, (("git_status", {}),), True, (call,))
