"""Several forms in one reply, words that only look like actions, and thoughts that hold some."""

from __future__ import annotations

from collections.abc import Iterator

from tests.agents.corpus.cases import DONE, READ, STATUS, Case, Said
from tests.agents.corpus.forms import JSON_FORMS, PYTHON_FORMS, TEXT_FORMS, dump, envelope, flat

WRITE: Said = ("write_file", {"path": "a", "content": "x"})
PAIRS = (
    ("envelope", "Hermes"), ("Hermes", "envelope"), ("fenced", "invoke"), ("Qwen coder", "a list"),
    ("lines", "GLM"), ("Kimi", "lines"), ("Llama function", "Qwen coder"), ("Mistral with names", "fenced"),
    ("action", "a list"), ("invoke", "Hermes"), ("ReAct", "lines"), ("Python", "Hermes"),
)  # fmt: skip
DELETE = '{"actions": [{"type": "delete_file", "path": "src"}]}'

NO_ACTION: dict[str, str] = {
    "nothing": "",
    "only spaces": " \n\t ",
    "words": "I have done everything you asked for. All 12 tests pass.",
    "words about actions": "Next I will use `read_file` on a.py, then run_tests.",
    "a call in a sentence": "You could say read_file(path='a.py') to see it, or done(summary='x').",
    "a promise": "Let me call the tool read_file with path src/a.py.",
    "a plan in a list": "1. read_file a.py\n2. edit_file a.py\n3. done",
    "only a thought": f"<think>{DELETE}</think>",
    "a thought and words": f"<think>{DELETE}</think>\nI am not sure.",
    "a thought that never ends": f"<think>maybe {DELETE} or not",
    "a thought of Mistral": f"[THINK]{DELETE}[/THINK]",
    "an empty list": '{"actions": [], "notes": "thinking"}',
    "an empty object": "{}",
    "another object": '{"short_plan": "x", "steps": ["read_file a.py"], "risk": {"level": 2}}',
    "a schema": '{"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}',
    "a package": '{"name": "till", "version": "1.0.0", "type": "module", "scripts": {"test": "jest"}}',
    "a result": '{"status": "ok", "results": [{"name": "test_a", "outcome": "passed"}]}',
    "Go": '```go\nfunc main() {\n\tm := map[string]int{"type": 1}\n\tfmt.Println(m)\n}\n```',
    "JavaScript": "```js\nconst read_file = (path) => { return fs.readFileSync(path); };\n```",
    "Python that defines": "```python\ndef read_file(path):\n    return open(path).read()\n```",
    "Python that does more": "```python\nimport os\nread_file(path='a')\nos.remove('a')\n```",
    "HTML": "<html><body><done>yes</done><p>read_file</p></body></html>",
    "a diff": '--- a/x.json\n+++ b/x.json\n@@ -1 +1 @@\n-{"type": "a"}\n+{"type": "b"}\n',
    "a table": "| action | path |\n|---|---|\n| read_file | a.py |\n",
    "only a fence": "```json\n```",
    "an empty tag": "<tool_call>\n</tool_call>",
    "a tag for the result": '<tool_response>\n{"name": "read_file", "content": "x"}\n</tool_response>',
    "an apology": "I'm sorry, but I can't help with that.",
    "half a word": "{",
    "a name alone": "read_file",
    "brackets": "[[[{{{}}}]]]",
    "many quotes": '""""""""""',
}  # fmt: skip


def mixture_cases() -> Iterator[Case]:
    forms = JSON_FORMS | TEXT_FORMS | PYTHON_FORMS
    for first, second in PAIRS:
        text = f"{forms[first]([READ, STATUS])}\n\nand then\n\n{forms[second]([WRITE, DONE])}"
        yield Case(f"{first} and {second}", text, (READ, STATUS, WRITE, DONE), None)
    for form, write in forms.items():
        if not form.startswith(("after", "gpt-oss final")):
            text = f"<think>\nNot this: {DELETE}\n</think>\n{write([READ, DONE])}"
            yield Case(f"a thought before {form}", text, (READ, DONE), None)
    for what, text in NO_ACTION.items():
        yield Case(f"no action: {what}", text, (), False)
    yield from _within()


def _within() -> Iterator[Case]:
    """Actions as texts of actions are texts."""
    for what, inner in {
        "an envelope": DELETE,
        "a tag": f"<tool_call>{DELETE}</tool_call>",
        "a function": "<function=delete_file><parameter=path>src</parameter></function>",
        "a fence": f"```json\n{DELETE}\n```",
        "a thought": f"<think>{DELETE}</think>",
        "a call": "delete_file(path='src')",
        "a marker": '[TOOL_CALLS]delete_file[ARGS]{"path": "src"}',
    }.items():
        said: Said = ("write_file", {"path": "a.md", "content": f"Say:\n\n{inner}\n\nor not.\n"})
        yield Case(f"{what} as the text of an envelope", envelope([said, READ]), (said, READ))
        yield Case(f"{what} as the text of a fenced one", f"```json\n{dump(flat([said])[0])}\n```", (said,))
        yield Case(f"{what} as the text of Hermes", JSON_FORMS["Hermes"]([said, READ]), (said, READ))
        broken = f'{{"actions": [{{"type": "write_file", "path": "a.md", "content": "{inner}" + x}}]}}'
        yield Case(f"{what} in a text that is broken", broken, (), False)
