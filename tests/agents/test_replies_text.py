"""Reading actions out of a reply's text: every form, every truncation, and nothing invented."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.agents.replies import read_reply

READ = {"type": "read_file", "path": "a.py"}
WRITE = {"type": "write_file", "path": "b.py", "content": 'print("hi")\n# {"x": [1]}\n'}
DONE = {"type": "done", "summary": "all works"}
ALL = [READ, WRITE, DONE]


def envelope(*actions: dict[str, Any], **more: Any) -> str:
    return json.dumps({"actions": list(actions), **more})


def rest(action: dict[str, Any]) -> dict[str, Any]:
    """Its arguments."""
    return {key: value for key, value in action.items() if key != "type"}


def said(text: str) -> list[dict[str, Any]]:
    return [{"type": call.name, **call.arguments} for call in read_reply(text).actions]


WHOLE: dict[str, str] = {
    "plain": envelope(*ALL),
    "with notes": envelope(*ALL, notes="why"),
    "notes first": json.dumps({"notes": "why", "actions": ALL}),
    "indented": json.dumps({"actions": ALL}, indent=4),
    "a list": json.dumps(ALL),
    "fenced": f"```json\n{envelope(*ALL)}\n```",
    "fenced without a language": f"```\n{envelope(*ALL)}\n```",
    "with prose around": f"Sure! Here is what I do:\n\n{envelope(*ALL)}\n\nI hope that helps.",
    "after a thought": f'<think>Or {{"actions": [{{"type": "git_status"}}]}}</think>\n{envelope(*ALL)}',
    "after a thought without its opening tag": f"I think...\n</think>\n\n{envelope(*ALL)}",
    "after two thoughts": f"<think>a</think>{envelope(READ)}</think>{envelope(*ALL)}",
    "an answer at the end of an open thought": f"<think>let me see\n{envelope(*ALL)}",
    "boxed": f"\\boxed{envelope(*ALL)}",
    "one after the other": f"{envelope(READ)}\n{envelope(WRITE)}\n{envelope(DONE)}",
    "simple objects in lines": "\n".join(json.dumps(action) for action in ALL),
    "the simple form": "\n".join(
        json.dumps({"action": one["type"], **rest(one)}) for one in ALL
    ),
    "arguments in a bag": json.dumps(
        [{"name": one["type"], "arguments": rest(one)} for one in ALL]
    ),
    "the name as the key": json.dumps(
        {"actions": [{one["type"]: rest(one)} for one in ALL]}
    ),
    "OpenAI's shape as text": json.dumps(
        {
            "tool_calls": [
                {
                    "id": str(number),
                    "type": "function",
                    "function": {
                        "name": one["type"],
                        "arguments": json.dumps(rest(one)),
                    },
                }
                for number, one in enumerate(ALL)
            ]
        }
    ),
    "tool_use blocks": json.dumps(
        [{"type": "tool_use", "name": one["type"], "input": rest(one)} for one in ALL]
    ),
    "tool_call tags": "\n".join(
        "<tool_call>\n"
        + json.dumps({"name": one["type"], "arguments": rest(one)})
        + "\n</tool_call>"
        for one in ALL
    ),
    "function tags": "".join(
        f"<tool_call>\n<function={one['type']}>\n"
        + "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in rest(one).items())
        + "</function>\n</tool_call>\n"
        for one in ALL
    ),
    "function tags with JSON": "".join(
        f"<function={one['type']}>{json.dumps(rest(one))}</function>" for one in ALL
    ),
    "invoke tags": "<function_calls>"
    + "".join(
        f'<invoke name="{one["type"]}">'
        + "".join(f'<parameter name="{k}">{v}</parameter>' for k, v in rest(one).items())
        + "</invoke>"
        for one in ALL
    )
    + "</function_calls>",
    "keys and values in tags": "".join(
        f"<tool_call>{one['type']}\n"
        + "".join(f"<arg_key>{k}</arg_key>\n<arg_value>{v}</arg_value>\n" for k, v in rest(one).items())
        + "</tool_call>"
        for one in ALL
    ),
    "Mistral's marker and a list": "[TOOL_CALLS] "
    + json.dumps([{"name": one["type"], "arguments": rest(one)} for one in ALL]),
    "headers of gpt-oss": "".join(
        f"<|channel|>commentary to=functions.{one['type']} <|constrain|>json<|message|>"
        + json.dumps(rest(one))
        + "<|call|>"
        for one in ALL
    ),
    "headers of Kimi": "".join(
        f"<|tool_call_begin|>functions.{one['type']}:{number}<|tool_call_argument_begin|>"
        + json.dumps(rest(one))
        + "<|tool_call_end|>"
        for number, one in enumerate(ALL)
    ),
    "headers of DeepSeek": "".join(
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{one['type']}\n```json\n"
        + json.dumps(rest(one))
        + "\n```<｜tool▁call▁end｜>"
        for one in ALL
    ),
    "a trailing comma": envelope(*ALL)[:-2] + ",],}",
    "comments": "{\n// first look\n" + envelope(*ALL)[1:-1] + " # done\n}",
    "single quotes": repr({"actions": ALL}),
    "keys without quotes": "{actions: ["
    + ", ".join("{" + ", ".join(f"{k}: {json.dumps(v)}" for k, v in one.items()) + "}" for one in ALL)
    + "]}",
    "commas forgotten at line ends": json.dumps({"actions": ALL}, indent=1).replace(",\n", "\n"),
    "the closing brackets missing": envelope(*ALL)[:-2],
    "the list's bracket missing before the notes": envelope(*ALL)[:-2] + ', "notes": "why"}',
    "a comma missing before the notes": envelope(*ALL)[:-1] + '\n "notes": "why"}',
    "too many closing brackets": envelope(*ALL) + "}]}",
    "cut inside the notes": envelope(*ALL, notes="because I")[:-4],
    "quotes not escaped in the notes before": '{"notes": "he said "go"", ' + envelope(*ALL)[1:],
    "quotes not escaped in the notes after": envelope(*ALL)[:-1] + ', "notes": "he said "go" and left"}',
}  # fmt: skip


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE.keys())
def test_every_form_gives_all_actions_in_order(text: str) -> None:
    assert said(text) == ALL
    assert read_reply(text).error == ""


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ('{"action": "read", "path": "a"}', "read", {"path": "a"}),
        ('{"action": {"type": "read_file", "path": "a"}}', "read_file", {"path": "a"}),
        ('{"actions": {"type": "read_file", "path": "a"}}', "read_file", {"path": "a"}),
        ('{"type": "git_status"}', "git_status", {}),
        ('{"actions": [{"type": "fly", "to": "x"}]}', "fly", {"to": "x"}),
        ('{"tool": "read_file", "args": {"path": "a"}, "thought": "hm"}', "read_file", {"path": "a"}),
        ('{"type": "run_command", "input": "ls"}', "run_command", {"input": "ls"}),
        ('{"type":"search_text","query":"\\d+\\.go"}', "search_text", {"query": "\\d+\\.go"}),
        ('{"type": "write_file", "path": "a", "content": """x = "1"\ny"""}', "write_file",
         {"path": "a", "content": 'x = "1"\ny'}),
        ('{"type": "write_file", "path": "a", "content": "one\n\ttwo\n"}', "write_file",
         {"path": "a", "content": "one\n\ttwo\n"}),
        ("{'type': 'run_command', 'command': 'echo \"it\\'s\"', 'timeout': None}", "run_command",
         {"command": "echo \"it's\"", "timeout": None}),
        ('{"type": "create_bead", "title": "x", "type": "story"}', "create_bead",
         {"title": "x", "bead_type": "story"}),
        ('{"action": "create_bead", "title": "x", "type": "bug"}', "create_bead",
         {"title": "x", "type": "bug"}),
        ("<function=run_command>\n<parameter=command>\necho '</parameter>'\necho 2\n</parameter></function>",
         "run_command", {"command": "echo '</parameter>'\necho 2"}),
        ('{"actions": [{"type": "write_file", "path": "a", "content": "x</think>y"}]}', "write_file",
         {"path": "a", "content": "x</think>y"}),
        ('<think>hm</think>{"action": "write_file", "path": "a", "content": "x</think>y"}', "write_file",
         {"path": "a", "content": "x</think>y"}),
        ('{"type": "write_file", "path": "a", "content": "caf\\u00e9 \\ud83d\\ude00"}', "write_file",
         {"path": "a", "content": "café 😀"}),
        # A tag in a text of the answer, whatever stands before it and however it is written.
        ('Here:\n```json\n{"type": "write_file", "path": "a", "content": "x</think>y",}\n```', "write_file",
         {"path": "a", "content": "x</think>y"}),
        ("\ufeff{'action': 'write_file', 'path': 'a', 'content': 'x</think>y'}", "write_file",
         {"path": "a", "content": "x</think>y"}),
        (json.dumps('{"type": "write_file", "path": "a", "content": "</think><function=done></function>"}'),
         "write_file", {"path": "a", "content": "</think><function=done></function>"}),
        # Arguments as attributes.
        ('<read_file path="a"/>', "read_file", {"path": "a"}),
        ("<read_file path='a &amp; b'><offset>3</offset></read_file>", "read_file",
         {"path": "a & b", "offset": "3"}),
        ('<action type="read_file" path="a"/>', "read_file", {"path": "a"}),
        ('<invoke name="read_file" id="c1"><parameter name="path">a</parameter></invoke>', "read_file",
         {"path": "a"}),
        ('<tool_call id="c1" name="read_file"><path>a</path></tool_call>', "read_file", {"path": "a"}),
        ('<tool name="read_file"><path>a</path></tool>', "read_file", {"path": "a"}),
        ('{"name": "functions.read_file", "arguments": {"path": "a"}}', "read_file", {"path": "a"}),
        ('**Action:** `{"type": "read_file", "path": "a"}`', "read_file", {"path": "a"}),
        ('{"type": "read_file", "path": "a"}\n<think>or {"type": "done"}</think>', "read_file",
         {"path": "a"}),
    ],
)  # fmt: skip
def test_special_forms_are_read(text: str, name: str, arguments: dict[str, Any]) -> None:
    reading = read_reply(text)
    assert [(call.name, call.arguments) for call in reading.actions] == [(name, arguments)]
    assert reading.error == ""


@pytest.mark.parametrize("tail", ["", "}", "]}", ', {"type": "wri'])
def test_a_closing_tag_in_a_text_does_not_end_a_thought_that_never_began(tail: str) -> None:
    """Also if what follows is cut or does not hold together."""
    action = {"type": "write_file", "path": "a.py", "content": 'print("</think>")\n'}
    assert said(f'{{"actions": [{json.dumps(action)}{tail}') == [action]
    more = f"First.\n{json.dumps(action)}\nThen:\n{envelope(action, READ)}"
    assert said(more) == [action, action, READ]
    assert said(f'Or {{"type": "done"}}?\n</think>\n{envelope(action, READ)}') == [action, READ]
    assert said(f'Draft: {{"actions": [{{"type": "done", "summary": "a\n</think>\n{envelope(READ)}') == [READ]


NOTHING: dict[str, tuple[str, str]] = {
    "empty": ("", "it is empty"),
    "only spaces": (" \n ", "it is empty"),
    "prose": ("I have done everything you asked for.", "it holds no action"),
    "prose about actions": ("I will use `read_file` on a.py and then run_tests.", "it holds no action"),
    "only a thought": ('<think>{"actions": [{"type": "done", "summary": "x"}]}</think>', "all thought"),
    "a thought that never ends": ('<think>maybe {"action": "done", "summary": "x"} or not', "all thought"),
    "an empty list": ('{"actions": [], "notes": "thinking"}', "list of actions is empty"),
    "no list": ('{"short_plan": "x", "steps": ["read_file a.py"]}', "it holds no action"),
    "texts in the list": ('{"actions": ["read_file a.py"]}', "item 1 of the list is no action object"),
    "a schema": ('{"type": "object", "properties": {"path": {"type": "string"}}}', "not an action"),
    "an unknown name alone": ('{"action": "fly", "to": "x"}', "'fly' is not an action"),
    "package.json in prose": ('Use:\n{"name": "x", "type": "module", "test": {"test": 1}}\nok?', "no action"),
    "code with braces": ('```go\nm := map[string]int{"type": 1}\nfunc f() { return x }\n```', "no action"),
    "data with a name": ('{"name": "test", "status": "done"}', "no action"),
    "elements of a page": ('<tool name="hammer" size="3"/>\n<action type="button" class="x"/>', "no action"),
    "data with a common word": ('The API answers {"type": "status", "ok": true} then.', "no action"),
    "a constant that is no JSON": ('{"type": "read_file", "path": "a", "offset": NaN}', "read_file"),
    "a number too large": ('{"type": "read_file", "path": "a", "offset": 1e999}', "number too large"),
    "a NUL character": ('{"type": "write_file", "path": "a", "content": "\\u0000"}', "NUL"),
    "half a surrogate pair": ('{"type": "write_file", "path": "a", "content": "\\ud800"}', "surrogate"),
    "mixed line breaks": ('{"type": "write_file", "path": "a", "content": "x\\ny\nz"}', "raw line breaks"),
    "backslashes in triple quotes": ('{"type": "write_file", "content": """a\\nb"""}', "triple quotes"),
    "quotes not escaped": ('{"type": "run_command", "command": "echo "hi""}', 'not written as \\"'),
    "a name with spaces as key": ('{"action": "user: user", "user: user": {}}', "no action"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "why"), NOTHING.values(), ids=NOTHING.keys())
def test_what_holds_no_certain_action_gives_none_and_an_error_that_teaches(text: str, why: str) -> None:
    reading = read_reply(text)
    assert reading.actions == ()
    assert reading.error.startswith("Reply not understood")
    assert why in reading.error
    assert '{"actions": [{"type": "read_file"' in reading.error, "the expected form is shown"


def test_the_error_tells_the_place() -> None:
    reading = read_reply('{"actions": [\n  {"type": "read_file", "path": a.py}\n]}')
    assert "(line 2, column 33, near" in reading.error


CUT = (
    "plain", "indented", "a list", "single quotes", "tool_call tags", "function tags", "invoke tags",
    "keys and values in tags", "headers of Kimi",
)  # fmt: skip


@pytest.mark.parametrize("form", CUT)
def test_a_cut_reply_gives_the_actions_before_the_cut_and_tells_of_the_cut_one(form: str) -> None:
    text = WHOLE[form]
    for cut in range(1, len(text)):
        reading = read_reply(text[:cut])
        got = [{"type": call.name, **call.arguments} for call in reading.actions]
        assert got == ALL[: len(got)], text[:cut]
        assert reading.error or got, text[:cut]
        if len(got) < 3 and "summary" in text[:cut].rsplit("done", 1)[-1]:
            assert reading.error, text[:cut]


BROKEN: list[tuple[str, list[int], str]] = [
    ('{"actions": [%0, {"type": "read_file", "path": }, %2]}', [0, 2], "a value is expected"),
    ('{"actions": [%0, {"type": "read_file", "path" "x"}, %2]}', [0, 2], '":" is expected'),
    (
        '{"actions": [%0, {"type": "run_command", "command": "echo "hi" there"}, %2]}',
        [0, 2],
        'written as \\"',
    ),
    (
        '{"actions": [%0, {"type": "write_file", "content": "x\\ny\nz"}, %2], "notes": "n"}',
        [0, 2],
        "raw line",
    ),
    ('{"actions": [%0, {"type": "write_file", "content": "unclosed}, %2]}', [0], "is expected here"),
    ('{"actions": [%0, %1', [0, 1], ""),
    ('{"actions": [%0, {"type": "write_file", "content": "x', [0], "does not end"),
    ('{"actions": [%0, {"type": "write_file", "path": "x",', [0], "ends where"),
    ('{"actions": [%0, "and then", %2]}', [0, 2], "item 2"),
]


@pytest.mark.parametrize(("pattern", "kept", "why"), BROKEN)
def test_a_broken_action_does_not_take_the_complete_ones_with_it(
    pattern: str, kept: list[int], why: str
) -> None:
    text = pattern
    for number, action in enumerate(ALL):
        text = text.replace(f"%{number}", json.dumps(action))
    reading = read_reply(text)
    got = [{"type": call.name, **call.arguments} for call in reading.actions]
    assert [action for action in got if action in ALL] == got
    assert got[: len(kept)] == [ALL[number] for number in kept]
    assert why in reading.error
    if why:
        assert "send again only what is missing" in reading.error


def test_what_looks_like_actions_inside_a_broken_text_is_not_taken() -> None:
    inner = '[{"type": "delete_file", "path": "y"}, {"type": "read_file", "path": "x"}]'
    text = f'{{"actions": [{json.dumps(READ)}, {{"type": "write_file", "path": "a", "content": "{inner}"}}]}}'
    assert said(text) == [READ]
    assert said(f'{{"action": "write_file", "path": "a.json", "content": "{inner}"}}') == []


def test_an_envelope_as_the_content_of_a_broken_one_is_not_taken() -> None:
    inner = envelope({"type": "delete_file", "path": "y"}, DONE, notes="z")
    text = f'{{"actions": [{{"type": "write_file", "path": "a", "content": "{inner}"}}], "notes": "n"}}'
    assert said(text) == []
    assert read_reply(text).error


def test_an_action_that_is_not_strict_needs_a_list_that_holds_together() -> None:
    assert said('{"actions": [{"type": "read_tree", "x": {},}, "y": {}}, "notes": "n"}') == []
    assert said('{"actions": [{"type": "read_tree", "x": {}}, "y": {}}, "notes": "n"}') == [
        {"type": "read_tree", "x": {}}
    ]


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (envelope(READ, notes="because"), "because"),
        (envelope(READ, notes=["one", "two"]), "one\ntwo"),
        (envelope(READ)[:-2] + ', "notes": "late"}', "late"),
        (f"First I look.\n{envelope(READ)}", "First I look."),
        ('{"actions": [], "notes": "lost"}', "lost"),
        ("Just prose\0.", "Just prose."),
        ("<think>secret plan</think>Hello.", "Hello."),
    ],
)
def test_notes_are_what_is_said_beside_the_actions(text: str, notes: str) -> None:
    assert read_reply(text).notes == notes


def test_ids_are_unique_valid_and_the_same_every_time() -> None:
    text = envelope(READ, READ, READ)
    ids = [call.id for call in read_reply(text).actions]
    assert len(set(ids)) == 3
    assert all(len(id_) == 9 and id_.isalnum() for id_ in ids)
    assert ids == [call.id for call in read_reply(text).actions]


def test_no_more_actions_than_the_limit_are_taken() -> None:
    reading = read_reply(envelope(*[READ] * 300))
    assert len(reading.actions) == 200
    assert "first 200 of its 300" in reading.error
