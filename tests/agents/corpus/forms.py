"""Every form in which models write calls into their text, each around every payload."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.agents.corpus.cases import PAYLOADS, TYPED, Case, Said

Form = Callable[[Sequence[Said]], str]


def dump(value: Any, **how: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **how)


def flat(said: Sequence[Said], key: str = "type") -> list[dict[str, Any]]:
    return [{key: name, **arguments} for name, arguments in said]


def bagged(said: Sequence[Said], name: str = "name", bag: str = "arguments") -> list[dict[str, Any]]:
    return [{name: one, bag: arguments} for one, arguments in said]


def envelope(said: Sequence[Said], **more: Any) -> str:
    return dump({"actions": flat(said), **more})


def each(said: Sequence[Said], pattern: str, between: str = "\n") -> str:
    """The pattern once for each call: `@n` its name, `@j` its arguments as JSON, `@i` its number."""
    return between.join(
        pattern.replace("@n", name).replace("@i", str(number)).replace("@j", dump(arguments))
        for number, (name, arguments) in enumerate(said)
    )


def tagged(said: Sequence[Said], head: str, parameter: str, foot: str, between: str = "\n") -> str:
    """Calls whose arguments each have a tag: `@k` the argument's name, `@v` its value."""
    return between.join(
        head.replace("@n", name)
        + "".join(parameter.replace("@k", key).replace("@v", value) for key, value in arguments.items())
        + foot.replace("@n", name)
        for name, arguments in said
    )


def python(said: Sequence[Said], between: str = "\n") -> str:
    return between.join(
        f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        for name, arguments in said
    )


JSON_FORMS: dict[str, Form] = {
    "envelope": envelope,
    "envelope with notes": lambda said: envelope(said, notes='because {of} "this"'),
    "notes before": lambda said: dump({"notes": "first", "actions": flat(said)}),
    "indented": lambda said: dump({"actions": flat(said)}, indent=2),
    "ascii": lambda said: json.dumps({"actions": flat(said)}),
    "a list": lambda said: dump(flat(said)),
    "lines": lambda said: "\n".join(dump(one) for one in flat(said)),
    "action": lambda said: "\n\n".join(dump(one) for one in flat(said, "action")),
    "fenced": lambda said: f"```json\n{envelope(said)}\n```",
    "fenced between words": lambda said: f"I begin.\n\n```json\n{envelope(said)}\n```\n\nThen we see.",
    "fences of their own": lambda said: "\n\n".join(f"```json\n{dump(one)}\n```" for one in flat(said)),
    "after a label": lambda said: f"Actions: {envelope(said)}",
    "after JSON:": lambda said: f"Here is the JSON:\njson\n{envelope(said)}",
    "after a thought": lambda said: f"<think>\nShall I?\n</think>\n\n{envelope(said)}",
    "after a closed thought": lambda said: f"I should {{look}}.\n</think>\n{envelope(said)}",
    "after a thinking tag": lambda said: f"<thinking>Yes: [x]</thinking>{envelope(said)}",
    "after a Mistral thought": lambda said: f"[THINK]Well.[/THINK]{envelope(said)}",
    "gpt-oss final": lambda said: (
        f"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{envelope(said)}"
    ),
    "bags": lambda said: dump({"actions": bagged(said)}),
    "parameters": lambda said: dump(bagged(said, bag="parameters")),
    "tool_name": lambda said: dump(bagged(said, "tool_name", "parameters")),
    "tool and args": lambda said: dump({"actions": bagged(said, "tool", "args")}),
    "arguments as text": lambda said: dump(
        [{"name": name, "arguments": dump(arguments)} for name, arguments in said]
    ),
    "OpenAI": lambda said: dump(
        {
            "tool_calls": [
                {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": dump(args)}}
                for n, (name, args) in enumerate(said)
            ]
        }
    ),
    "tool_use": lambda said: dump(
        [
            {"type": "tool_use", "id": f"t{n}", "name": name, "input": arguments}
            for n, (name, arguments) in enumerate(said)
        ]
    ),
    "the name as key": lambda said: dump({"actions": [{name: args} for name, args in said]}),
    "Hermes": lambda said: each(said, '<tool_call>\n{"name": "@n", "arguments": @j}\n</tool_call>'),
    "Hermes in one tag": lambda said: f"<tool_call>\n{dump(bagged(said))}\n</tool_call>",
    "Hermes without closing tags": lambda said: each(said, '<tool_call>\n{"name": "@n", "arguments": @j}'),
    "tool_calls tag": lambda said: f"<tool_calls>{dump(bagged(said))}</tool_calls>",
    "TOOLCALL": lambda said: f"<TOOLCALL>{dump(bagged(said))}</TOOLCALL>",
    "Phi": lambda said: f"<|tool_call|>{dump(bagged(said))}<|/tool_call|>",
    "Granite": lambda said: f"<|tool_call|>{dump(bagged(said))}",
    "Llama 3": lambda said: "<|python_tag|>" + each(said, '{"name": "@n", "parameters": @j}', "; "),
    "Llama function": lambda said: each(said, "<function=@n>@j</function>"),
    "function_call tag": lambda said: each(
        said, '<function_call>{"name": "@n", "arguments": @j}</function_call>'
    ),
    "Mistral": lambda said: f"[TOOL_CALLS]{dump(bagged(said))}",
    "Mistral with ids": lambda said: each(said, "[TOOL_CALLS]@n[CALL_ID]abcdefgh@i[ARGS]@j", ""),
    "Mistral with names": lambda said: each(said, "[TOOL_CALLS]@n[ARGS]@j", ""),
    "Mistral old": lambda said: each(said, "[TOOL_CALLS]@n@j", ""),
    "DeepSeek R1": lambda said: (
        "<｜tool▁calls▁begin｜>"
        + each(
            said,
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>@n\n```json\n@j\n```<｜tool▁call▁end｜>",
        )
        + "<｜tool▁calls▁end｜>"
    ),
    "DeepSeek V3.1": lambda said: (
        "<｜tool▁calls▁begin｜>"
        + each(said, "<｜tool▁call▁begin｜>@n<｜tool▁sep｜>@j<｜tool▁call▁end｜>", "")
        + "<｜tool▁calls▁end｜>"
    ),
    "Kimi": lambda said: (
        "<|tool_calls_section_begin|>"
        + each(said, "<|tool_call_begin|>functions.@n:@i<|tool_call_argument_begin|>@j<|tool_call_end|>", "")
        + "<|tool_calls_section_end|>"
    ),
    "gpt-oss": lambda said: each(
        said,
        "<|start|>assistant<|channel|>commentary to=functions.@n <|constrain|>json<|message|>@j<|call|>",
        "",
    ),
    "InternLM": lambda said: each(
        said, '<|action_start|><|plugin|>\n{"name": "@n", "parameters": @j}<|action_end|>'
    ),
    "ReAct": lambda said: each(said, "Thought: I go on.\nAction: @n\nAction Input: @j"),
    "Functionary": lambda said: each(said, ">>>@n\n@j"),
    "Command R": lambda said: (
        f"Action: ```json\n{dump(bagged(said, 'tool_name', 'parameters'), indent=4)}\n```"
    ),
}  # fmt: skip

TEXT_FORMS: dict[str, Form] = {
    "Qwen coder": lambda said: tagged(
        said,
        "<tool_call>\n<function=@n>\n",
        "<parameter=@k>\n@v\n</parameter>\n",
        "</function>\n</tool_call>",
    ),
    "Qwen coder without tool_call": lambda said: tagged(
        said, "<function=@n>\n", "<parameter=@k>\n@v\n</parameter>\n", "</function>"
    ),
    "invoke": lambda said: (
        "<function_calls>\n"
        + tagged(said, '<invoke name="@n">\n', '<parameter name="@k">@v</parameter>\n', "</invoke>")
        + "\n</function_calls>"
    ),
    "invoke with a namespace": lambda said: (
        f"<{NS}function_calls>\n"
        + tagged(
            said,
            f'<{NS}invoke name="@n">\n',
            f'<{NS}parameter name="@k">@v</{NS}parameter>\n',
            f"</{NS}invoke>",
        )
        + f"\n</{NS}function_calls>"
    ),
    "MiniMax": lambda said: (
        "<minimax:tool_call>\n"
        + tagged(said, '<invoke name="@n">\n', '<parameter name="@k">@v</parameter>\n', "</invoke>")
        + "\n</minimax:tool_call>"
    ),
    "GLM": lambda said: tagged(
        said,
        "<tool_call>@n\n",
        "<arg_key>@k</arg_key>\n<arg_value>@v</arg_value>\n",
        "</tool_call>",
    ),
    "tags named for the action": lambda said: tagged(said, "<@n>\n", "<@k>@v</@k>\n", "</@n>"),
}  # fmt: skip
NS = "ns:"  # whatever a vendor puts before its tags

PYTHON_FORMS: dict[str, Form] = {
    "Python": python,
    "Python in a list": lambda said: f"[{python(said, ', ')}]",
    "Python in a fence": lambda said: f"```python\n{python(said)}\n```",
    "tool_code": lambda said: f"```tool_code\n{python(said)}\n```",
    "Python of a module": lambda said: "\n".join(f"functions.{line}" for line in python(said).split("\n")),
    "Llama 4": lambda said: f"<|python_start|>[{python(said, ', ')}]<|python_end|>",
    "Python in tool_call": lambda said: "\n".join(
        f"<tool_call>{python([one])}</tool_call>" for one in said
    ),
    "a dictionary": lambda said: repr({"actions": flat(said)}),
}  # fmt: skip


def form_cases() -> Iterator[Case]:
    for forms, payloads in (
        (JSON_FORMS, PAYLOADS | TYPED),
        (TEXT_FORMS, PAYLOADS),
        (PYTHON_FORMS, PAYLOADS | TYPED),
    ):
        for form, write in forms.items():
            for payload, said in payloads.items():
                yield Case(f"{form}: {payload}", write(said), said)
