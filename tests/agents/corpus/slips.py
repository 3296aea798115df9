"""Slips that leave one meaning, and slips that do not: what is certain is read, the rest is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from tests.agents.corpus.cases import DONE, PAYLOADS, READ, STATUS, TYPED, Case, Said
from tests.agents.corpus.forms import dump, envelope, flat

Slip = Callable[[str], str]

# On a whole envelope, whatever it holds.
HARMLESS: dict[str, Slip] = {
    "trailing commas": lambda text: f"{text[:-2]},],}}",
    "a trailing comma in the object": lambda text: f"{text[:-1]},}}",
    "a line comment before": lambda text: "{ // now\n" + text[1:],
    "a hash comment after": lambda text: text[:-1] + "# the end\n}",
    "a block comment": lambda text: "{ /* first, look */ " + text[1:],
    "smart quotes around keys": lambda text: text.replace('"actions"', "“actions”", 1),
    "keys without quotes": lambda text: text.replace('"actions"', "actions", 1),
    "single quotes around a key": lambda text: text.replace('"actions"', "'actions'", 1),
    "no closing brackets": lambda text: text[:-2],
    "no last brace": lambda text: text[:-1],
    "one brace too many": lambda text: text + "}",
    "brackets too many": lambda text: text + "]}",
    "a fence that does not close": lambda text: f"```json\n{text}",
    "a fence that only closes": lambda text: f"{text}\n```",
    "tildes as a fence": lambda text: f"~~~json\n{text}\n~~~",
    "a byte order mark": lambda text: f"\ufeff{text}",
    "spaces that do not break": lambda text: "\u00a0" + text.replace('"actions": ', '"actions":\u00a0', 1),
    "windows line ends": lambda text: "Well:\r\n```json\r\n" + text + "\r\n```\r\n",
    "words before and after": lambda text: f"Sure, {{as}} you [wish]:\n{text}\nDone {{soon}}.",
    "an end marker": lambda text: f"{text}<|im_end|>",
    "an end of turn": lambda text: f"{text}</s>",
    "quotes around all of it": lambda text: f"`{text}`",
    "Assistant:": lambda text: f"Assistant: {text}",
    "a heading": lambda text: f"## Next\n\n{text}",
    "a quote mark lost in the notes": lambda text: text[:-1] + ', "notes": "he said "no" twice"}',
    "notes cut": lambda text: text[:-1] + ', "notes": "and the',
}  # fmt: skip


def slip_cases() -> Iterator[Case]:
    for slip, make in HARMLESS.items():
        for payload in ("three", "code", "actions in a text", "unicode"):
            yield Case(f"{slip}: {payload}", make(envelope(PAYLOADS[payload])), PAYLOADS[payload], None)
        yield Case(f"{slip}: lists", make(envelope(TYPED["lists"])), TYPED["lists"], None)
    yield from _one_way()
    yield from _two_ways()


def _one_way() -> Iterator[Case]:
    """Single actions written by hand, each with one meaning."""
    texts: dict[str, tuple[str, Said]] = {
        "raw line breaks": (
            '{"type": "write_file", "path": "a", "content": "one\n\ttwo\n"}',
            ("write_file", {"path": "a", "content": "one\n\ttwo\n"}),
        ),
        "an escape that is none": (
            r'{"type": "search_text", "query": "\d+\s\.py", "regex": true}',
            ("search_text", {"query": r"\d+\s\.py", "regex": True}),
        ),
        "an apostrophe escaped": (
            r"""{"type": "done", "summary": "it\'s right"}""",
            ("done", {"summary": "it's right"}),
        ),
        "triple quotes": (
            '{"type": "write_file", "path": "a", "content": """x = "1"\ny\n"""}',
            ("write_file", {"path": "a", "content": 'x = "1"\ny\n'}),
        ),
        "Python's words": (
            "{'type': 'search_text', 'query': 'a \"b\"', 'regex': False, 'path': None}",
            ("search_text", {"query": 'a "b"', "regex": False, "path": None}),
        ),
        "smart quotes as quotes": (
            "{“type”: “read_file”, “path”: “src/a.py”}",
            ("read_file", {"path": "src/a.py"}),
        ),
        "smart quotes within": (
            '{"type": "done", "summary": "the “new” one"}',
            ("done", {"summary": "the “new” one"}),
        ),
        "a capital name": ('{"type": "ReadFile", "path": "a"}', ("ReadFile", {"path": "a"})),
        "a name with a dash": ('{"action": "read-file", "path": "a"}', ("read-file", {"path": "a"})),
        "a name of the original": ('{"action": "edit_code", "path": "a"}', ("edit_code", {"path": "a"})),
        "an action in action": (
            '{"action": {"name": "read_file", "arguments": {"path": "a"}}}',
            ("read_file", {"path": "a"}),
        ),
        "params and a thought": (
            '{"thought": "look", "action": "read_file", "params": {"path": "a"}}',
            ("read_file", {"path": "a"}),
        ),
        "action_input": (
            '{"action": "read_file", "action_input": {"path": "a"}}',
            ("read_file", {"path": "a"}),
        ),
        "a type of its own": (
            '{"action": "create_bead", "title": "x", "type": "bug"}',
            ("create_bead", {"title": "x", "type": "bug"}),
        ),
        "escaped unicode": (
            '{"type": "done", "summary": "caf\\u00e9 \\ud83d\\ude00"}',
            ("done", {"summary": "café 😀"}),
        ),
        "a slash escaped": ('{"type": "read_file", "path": "src\\/a"}', ("read_file", {"path": "src/a"})),
        "a comment at a line's end": (
            '{\n  "type": "read_file", // the source\n  "path": "a" # here\n}',
            ("read_file", {"path": "a"}),
        ),
        "a web address": (
            '{"type": "done", "summary": "see https://x.y/#z"}',
            ("done", {"summary": "see https://x.y/#z"}),
        ),
        "commas forgotten": ('{\n"type": "read_file"\n"path": "a"\n}', ("read_file", {"path": "a"})),
        "a comma too many": ('{"type": "read_file",, "path": "a"}', ("read_file", {"path": "a"})),
        "an empty object": ('{"action": "git_status", "arguments": {}}', ("git_status", {})),
        "arguments null": ('{"name": "git_status", "arguments": null}', ("git_status", {})),
    }
    for slip, (text, said) in texts.items():
        yield Case(f"{slip}: alone", text, (said,), None)
        yield Case(f"{slip}: fenced", f"I go on.\n```json\n{text}\n```", (said,), None)
        yield Case(
            f"{slip}: in a list", f'{{"actions": [{dump(flat([READ])[0])}, {text}]}}', (READ, said), None
        )


def _two_ways() -> Iterator[Case]:
    """One action that could mean two things or nothing; those beside it are read."""
    broken = {
        "a quote lost": '{"type": "run_command", "command": "echo "hi" there"}',
        "no value": '{"type": "read_file", "path": }',
        "no colon": '{"type": "read_file", "path" "a"}',
        "both kinds of line breaks": '{"type": "write_file", "path": "a", "content": "x\\ny\nz"}',
        "backslashes in triple quotes": '{"type": "write_file", "path": "a", "content": """a\\nb"""}',
        "a bare word": '{"type": "read_file", "path": src/a.py}',
        "a number too large": '{"type": "read_file", "path": "a", "offset": 1e999}',
        "not a number": '{"type": "read_file", "path": "a", "offset": NaN}',
        "a NUL": '{"type": "write_file", "path": "a", "content": "\\u0000"}',
        "half a pair": '{"type": "write_file", "path": "a", "content": "\\ud800"}',
        "a broken escape": '{"type": "write_file", "path": "a", "content": "\\u12"}',
    }
    first, last = (dump(one) for one in flat([READ, DONE]))
    for slip, text in broken.items():
        yield Case(f"{slip}: alone", text, (), False)
        yield Case(f"{slip}: fenced", f"```json\n{text}\n```", (), False)
        yield Case(f"{slip}: at the end", f'{{"actions": [{first}, {last}, {text}]}}', (READ, DONE), False)
        yield Case(f"{slip}: between", f'{{"actions": [{first}, {text}, {last}]}}', (READ, DONE), False)
    for what in ('"read_file a.py"', "17", "null", '{"path": "a"}', "[]"):
        text = f'{{"actions": [{first}, {what}, {last}]}}'
        yield Case(f"no action in the list: {what}", text, (READ, DONE), False)
    yield Case(
        "an unknown action among others",
        json.dumps({"actions": [*flat([STATUS]), {"type": "fly"}]}),
        (STATUS, ("fly", {})),
        None,
    )
