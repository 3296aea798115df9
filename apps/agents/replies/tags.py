"""Tool calls as local models write them into their text: tags with parameters, or a header before JSON."""

from __future__ import annotations

import re
from typing import Any

from apps.agents.replies.jsonish import Broken, read_value
from apps.agents.replies.shapes import Spoken

# Forms: <function=name> or <invoke name="name"> with parameters; GLM's <tool_call>name<arg_key>; and headers
# of gpt-oss, Kimi, Mistral and DeepSeek, each followed by one JSON object.
OPENING = re.compile(
    r"""<(?P<tag>function|invoke|tool)(?:=|\s+name=)["']?(?P<named>[\w.:-]{1,64})["']?\s*>"""
    r"|<tool_call>\s*(?P<keyed>[\w.-]{1,64})\s*(?=<arg_key>|</tool_call>)"
    r"|to=functions\.(?P<channel>[\w-]{1,64})\s*+(?:<\|[^|>]{1,20}\|>|json|code|commentary|\s){0,8}(?=\{)"
    r"|functions\.(?P<numbered>[\w-]{1,64}):\d+\s*<\|tool_call_argument_begin\|>\s*(?=\{)"
    r"|\[TOOL_CALLS\]\s*(?P<listed>[\w-]{1,64})\s*(?:\[CALL_ID\][\w-]{1,64}\s*)?(?:\[ARGS\]\s*)?(?=\{)"
    r"|<｜tool▁sep｜>(?P<sep>[\w-]{1,64})\s*(?:```json\s*)?(?=\{)"
    r"|<｜tool▁call▁begin｜>(?P<begun>[\w-]{1,64})<｜tool▁sep｜>\s*(?=\{)"
)
_PARAMETER = re.compile(r"""\s*<parameter(?:=|\s+name=)["']?([\w.-]{1,64})["']?[^>\n]{0,40}>""")
_KEYED = re.compile(r"\s*<arg_key>\s*([\w.-]{1,64})\s*</arg_key>\s*<arg_value>")
_AFTER_VALUE = re.compile(r"\s*(?:<parameter\b|</function>|</invoke>|</tool>|</tool_call>|<arg_key>|$)")
_PADDED = re.compile(r"\r?\n(.*?)\r?\n", re.DOTALL)
_JSON = re.compile(r"\s*(?=\{)")


def read_call(text: str, opening: re.Match[str]) -> tuple[Spoken, int]:
    """The call that `opening` starts, and where it ends; raises Broken if it is not complete."""
    kind = opening.lastgroup or ""
    at = opening.end()
    if kind == "keyed":
        return _with_parameters(text, at, opening["keyed"], _KEYED, "</arg_value>", ("</tool_call>",))
    if opening["named"]:
        json_at = _JSON.match(text, at)
        closers = (f"</{opening['tag']}>", "</tool_call>")
        if json_at:
            arguments, end = _object(text, json_at.end())
            return Spoken(opening["named"], arguments), _closed(text, end, closers)
        return _with_parameters(text, at, opening["named"], _PARAMETER, "</parameter>", closers)
    arguments, end = _object(text, at)
    return Spoken(opening[kind], arguments), end


def _object(text: str, at: int) -> tuple[dict[str, Any], int]:
    found = read_value(text, at)
    if found.doubt:
        raise Broken(*found.doubt)
    return found.value, found.end


def _closed(text: str, at: int, closers: tuple[str, ...]) -> int:
    rest = re.compile(r"\s*").match(text, at)
    at = rest.end() if rest else at
    for closer in closers:
        if text.startswith(closer, at):
            return at + len(closer)
    if at >= len(text):
        raise Broken(at, f"the text ends before {closers[0]}", cut=True)
    raise Broken(at, f"a parameter or {closers[0]} is expected here")


def _with_parameters(
    text: str, at: int, name: str, opening: re.Pattern[str], closing: str, closers: tuple[str, ...]
) -> tuple[Spoken, int]:
    arguments: dict[str, Any] = {}
    while parameter := opening.match(text, at):
        end = _value_end(text, parameter.end(), closing)
        arguments[parameter[1]] = _trimmed(text[parameter.end() : end])
        at = end + len(closing)
    return Spoken(name, arguments), _closed(text, at, closers)


def _value_end(text: str, at: int, closing: str) -> int:
    """The closing tag that really closes: the first with the call's next part behind it."""
    end = text.find(closing, at)
    while end >= 0 and not _AFTER_VALUE.match(text, end + len(closing)):
        end = text.find(closing, end + 1)
    if end < 0:
        raise Broken(at, f"a parameter begins here and {closing} does not follow", cut=True)
    return end


def _trimmed(value: str) -> str:
    """The value without the one line break that templates put on either side of it."""
    padded = _PADDED.fullmatch(value)
    return padded[1] if padded else value
