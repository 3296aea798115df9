"""Tool calls as local models write them into their text: tags with parameters, or a header before JSON."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import Any

from apps.agents.actions import REGISTRY
from apps.agents.actions.registry import plain_name
from apps.agents.replies.jsonish import Broken, read_value
from apps.agents.replies.shapes import Spoken

# Also tags named for the action, with a tag for each argument. Only names that are no tags elsewhere.
_NAMES = {name for action in REGISTRY.values() for name in (action.name, *action.aliases)}
_ATTRIBUTES = r"""(?:\s+[\w:-]{1,40}=(?:"[^"<]{0,2000}"|'[^'<]{0,2000}')){%s,12}"""
_OWN_TAGS = "|".join(sorted({name for name in _NAMES if "_" in name} | {"done"}))
# Forms: <function=name> or <invoke name="name"> with parameters or attributes; <tool_call>name<arg_key>;
# headers of gpt-oss, Kimi, Mistral, DeepSeek, ReAct and Functionary, each followed by one JSON object.
OPENING = re.compile(
    r"""<(?P<space>[\w-]{1,20}:|｜DSML｜)?(?P<tag>function|invoke|tool_call|tool|action)(?:\s?=\s?|\s+(?:name|type)=)"""
    r"""["']?(?P<named>[\w.:-]{1,64})["']?\s*>"""
    r"|<(?P<use>tool_use|tool_call|function_call|invoke|tool)>\s*<(?P<label>name|tool_name)>\s*(?P<labelled>[\w.-]{1,64})"
    r"\s*</(?P=label)>\s*(?:<(?:arguments|parameters|input|args)>)?"
    r"|<start_function_call>\s*call:(?P<gemma>[\w.-]{1,64})\s*(?=\{)"
    r"|<tool_call>\s*(?P<keyed>[\w.-]{1,64})\s*(?=<arg_key>|</tool_call>)"
    rf"|<(?P<shown>function|invoke|tool_call|tool|action){_ATTRIBUTES % 2}\s*/?>"
    rf"|<(?P<shown_alone>function|invoke|tool_call|tool|action){_ATTRIBUTES % 1}\s*/>"
    rf"|(?m:^[ \t]*+)<(?P<own>{_OWN_TAGS}){_ATTRIBUTES % 0}\s*/?>"
    r"|to=functions\.(?P<channel>[\w-]{1,64})\s*+(?:<\|[^|>]{1,20}\|>|json|code|commentary|\s){0,8}(?=\{)"
    r"|functions\.(?P<numbered>[\w-]{1,64}):\d+\s*<\|tool_call_argument_begin\|>\s*(?=\{)"
    r"|\[TOOL_CALLS\]\s*(?P<listed>[\w-]{1,64})\s*(?:\[CALL_ID\][\w-]{1,64}\s*)?(?:\[ARGS\]\s*)?(?=\{)"
    r"|<[｜|]tool[▁_]sep[｜|]>(?P<sep>[\w-]{1,64})\s*(?:```json\s*)?(?=\{)"
    r"|<[｜|]tool[▁_]call[▁_]begin[｜|]>(?P<begun>[\w-]{1,64})<[｜|]tool[▁_]sep[｜|]>\s*(?=\{)"
    r"|(?m:^[ \t*]*+)Action[ *]*:[ *]*(?P<react>[\w.-]{1,64})[ \t]*\r?\n[ \t*]*+Action[ _]Input[ *]*:[ *]*"
    r"(?:```(?:json)?\s*)?\s*(?=\{)"
    r"|(?m:^)>>>[ \t]?(?P<functionary>[\w.-]{1,64})[ \t]*\r?\n(?=\{)"
)  # fmt: skip
_ATTRIBUTE = re.compile(r"""\s([\w:-]{1,40})=(?:"([^"]*)"|'([^']*)')""")
_NAMING = ("name", "type", "tool", "tool_name", "function")
_NO_ARGUMENTS = {"id", "call_id", "tool_call_id"}
_PARAMETER = re.compile(
    r"""\s*<(?:[\w-]{1,20}:|｜DSML｜)?(parameter|param|argument|arg)(?:=|\s+name=)["']?([\w.-]{1,64})["']?[^>\n]{0,40}>"""
)
_ARGUMENT = re.compile(r"\s*<([a-z]\w{0,40})>")
_KEYED = re.compile(r"\s*<(arg)_key>\s*([\w.-]{1,64})\s*</arg_key>\s*<arg_value>")
_AFTER_VALUE = re.compile(
    r"\s*(?:<(?:[\w-]{1,20}:|｜DSML｜)?(?:param(?:eter)?|arg(?:ument)?)\b"
    r"|</(?:[\w-]{1,20}:|｜DSML｜)?(?:function|invoke|tool|action)>|</tool_call>|<arg_key>|$)"
)
_BAG_END = re.compile(r"\s*</(?:arguments|parameters|input|args)>")
_GEMMA = re.compile(r"\s*,?\s*(\w{1,64})\s*:\s*(?:<escape>(.*?)<escape>|([^,{}<]+))", re.DOTALL)
_DATA = re.compile(r"\s*<!\[CDATA\[(.*)\]\]>\s*", re.DOTALL)
_PADDED = re.compile(r"\r?\n(.*?)\r?\n", re.DOTALL)
_JSON = re.compile(r"\s*(?=\{)")
_SPACE = re.compile(r"\s*+")
_GOES_ON = re.compile(r"\s*(?:</tool_call>\s*)?(?:<tool_call>|<[\w-]{0,20}:?(?:function|invoke)\b|\Z)")


def read_call(text: str, opening: re.Match[str]) -> tuple[Spoken, int]:
    """The call that `opening` starts, and where it ends; raises Broken if it is not complete."""
    kind = opening.lastgroup or ""
    at = opening.end()
    if kind == "keyed":
        return _with_parameters(text, at, opening["keyed"], _KEYED, "</arg_value>", ("</tool_call>",))
    if kind == "gemma":
        return _gemma(text, at, opening["gemma"])
    if opening["labelled"]:
        return _with_argument_tags(text, at, opening["labelled"], opening["use"])
    if kind == "own":
        return _with_own_tags(text, at, opening)
    if kind.startswith("shown"):
        return _with_attributes(text, at, opening)
    if opening["named"]:
        space = opening["space"] or ""
        closers = (f"</{space}{opening['tag']}>", "</tool_call>")
        if json_at := _JSON.match(text, at):
            arguments, end = _object(text, json_at.end())
            return Spoken(opening["named"], arguments), _closed(text, end, closers, at_end=True)
        if opening["tag"] in {"action", "tool"} and not space and not _PARAMETER.match(text, at):
            return _with_argument_tags(text, at, opening["named"], opening["tag"])
        return _with_parameters(text, at, opening["named"], _PARAMETER, f"</{space}@>", closers)
    arguments, end = _object(text, at)
    return Spoken(opening[kind], arguments), end


def name_of(opening: re.Match[str]) -> str:
    """The name that the opening of a call gives."""
    if (opening.lastgroup or "").startswith("shown"):
        return _shown(opening)[0]
    return str(opening["named"] or opening["labelled"] or opening[opening.lastgroup or 0] or "")


def _object(text: str, at: int) -> tuple[dict[str, Any], int]:
    found = read_value(text, at)
    if found.doubt:
        raise Broken(*found.doubt)
    return found.value, found.end


def _closed(text: str, at: int, closers: tuple[str, ...], *, at_end: bool = False) -> int:
    """Behind the call's closing tag. `at_end`: what stands before it is whole, so the reply may end there."""
    rest = _SPACE.match(text, at)
    at = rest.end() if rest else at
    for closer in closers:
        if text.startswith(closer, at):
            return at + len(closer)
    if at >= len(text):
        if at_end:
            return at
        raise Broken(at, f"the text ends before {closers[0]}", cut=True)
    raise Broken(at, f"a parameter or {closers[0]} is expected here")


def _with_parameters(
    text: str, at: int, name: str, opening: re.Pattern[str], closing: str, closers: tuple[str, ...]
) -> tuple[Spoken, int]:
    arguments: dict[str, Any] = {}
    while parameter := opening.match(text, at):
        close = closing.replace("@", parameter[1])
        end, at = _parameter_end(text, parameter.end(), close, closers[0])
        arguments[parameter[2]] = _trimmed(text[parameter.end() : end])
    return Spoken(name, arguments), _closed(text, at, closers)


def _attributes(opening: re.Match[str]) -> dict[str, Any]:
    """What an opening tag says in attributes; those that only number the call are none of its arguments."""
    given = {one[1]: html.unescape(one[2] or one[3] or "") for one in _ATTRIBUTE.finditer(opening[0])}
    return {key: value for key, value in given.items() if key not in _NO_ARGUMENTS}


def _shown(opening: re.Match[str]) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of `<action type="read_file" path="a"/>`."""
    given = _attributes(opening)
    key = next((key for key in _NAMING if plain_name(given.get(key, "")) in REGISTRY), "")
    return given.pop(key, ""), given


def _with_attributes(text: str, at: int, opening: re.Match[str]) -> tuple[Spoken, int]:
    """A call whose arguments are attributes; what stands in the element is added to them."""
    name, arguments = _shown(opening)
    if not name:
        raise Broken(opening.start(), "no attribute names an action")
    if opening[0].endswith("/>"):
        return Spoken(name, arguments), at
    tag = opening["shown"]
    closers = (f"</{tag}>", "</tool_call>")
    if not _PARAMETER.match(text, at):
        inner, end = _with_argument_tags(text, at, name, tag)
    else:
        inner, end = _with_parameters(text, at, name, _PARAMETER, "</@>", closers)
    return Spoken(name, arguments | inner.arguments), end


def _with_own_tags(text: str, at: int, opening: re.Match[str]) -> tuple[Spoken, int]:
    """`<read_file><path>a</path></read_file>`: an argument ends where another or the call's end follows."""
    name, arguments = opening["own"], _attributes(opening)
    if opening[0].endswith("/>"):
        return Spoken(name, arguments), at
    if json_at := _JSON.match(text, at):
        given, end = _object(text, json_at.end())
        return Spoken(name, given), _closed(text, end, (f"</{name}>",))
    follows = re.compile(rf"\s*(?:<[a-z]\w{{0,40}}>|</{name}>|$)")
    while argument := _ARGUMENT.match(text, at):
        closing = f"</{argument[1]}>"
        end = _value_end(text, argument.end(), closing, follows)
        arguments[argument[1]] = _trimmed(text[argument.end() : end])
        at = end + len(closing)
    return Spoken(name, arguments), _closed(text, at, (f"</{name}>",))


def _with_argument_tags(text: str, at: int, name: str, tag: str) -> tuple[Spoken, int]:
    """`<tool_use><name>read_file</name><arguments>...`: JSON, or a tag for each argument."""
    closers = (f"</{tag}>",)
    if json_at := _JSON.match(text, at):
        given, end = _object(text, json_at.end())
    else:
        given, end = {}, at
        follows = re.compile(rf"\s*(?:<[a-z]\w{{0,40}}>|</(?:arguments|parameters|input|args|{tag})>|$)")
        while argument := _ARGUMENT.match(text, end):
            closing = f"</{argument[1]}>"
            value = _value_end(text, argument.end(), closing, follows)
            given[argument[1]] = _trimmed(text[argument.end() : value])
            end = value + len(closing)
    after = _BAG_END.match(text, end)
    return Spoken(name, given), _closed(text, after.end() if after else end, closers)


def _gemma(text: str, at: int, name: str) -> tuple[Spoken, int]:
    """`call:read_file{path:<escape>a<escape>,limit:3}<end_function_call>`."""
    end = text.find("<end_function_call>", at)
    if end < 0 or not text[:end].rstrip().endswith("}"):
        raise Broken(at, "a call begins here and <end_function_call> does not follow", cut=end < 0)
    arguments: dict[str, Any] = {}
    at += 1
    while member := _GEMMA.match(text, at, end):
        arguments[member[1]] = member[2] if member[2] is not None else read_value(member[3], 0).value
        at = member.end()
    if text[at:end].strip() != "}":
        raise Broken(at, "an argument is expected here")
    return Spoken(name, arguments), end + len("<end_function_call>")


def _value_end(text: str, at: int, closing: str, follows: re.Pattern[str]) -> int:
    """The closing tag that really closes: the first with the call's next part behind it."""
    end = text.find(closing, at)
    while end >= 0 and not follows.match(text, end + len(closing)):
        end = text.find(closing, end + 1)
    if end < 0:
        raise Broken(at, f"a parameter begins here and {closing} does not follow", cut=True)
    return end


def _parameter_end(text: str, at: int, closing: str, call_closing: str) -> tuple[int, int]:
    """Where a parameter's value ends, and where its call goes on.

    A value may hold whole calls of the same form, in a document about them: their tags close nothing here.
    A closing tag that the model forgot is seen by the end of the call and what follows that.
    """
    depth = 0
    for tag in _call_tags(closing, call_closing).finditer(text, at):
        if tag["opened"]:
            depth += 1
        elif tag["closed"] and depth:
            depth -= 1
        elif tag["closed"]:
            ends_line = text[tag.start() - 1] == "\n" or "\n" not in text[at : tag.start()]
            if ends_line and _GOES_ON.match(text, tag.end()):
                return tag.start(), tag.start()
        elif tag["next"]:
            if not depth:
                break
        elif not depth and _AFTER_VALUE.match(text, tag.end()):
            return tag.start(), tag.end()
    raise Broken(at, f"a parameter begins here and {closing} does not follow it", cut=True)


@lru_cache(maxsize=64)
def _call_tags(closing: str, call_closing: str) -> re.Pattern[str]:
    """A whole call's opening and closing tag, and the closing tag of a parameter."""
    tag = re.escape(call_closing[2:-1])
    opened = (
        r"<tool_call>\s*[\w.-]{1,64}\s*(?=<arg_key>)"
        if closing == "</arg_value>"
        else rf"""<{tag}(?:=|\s+name=)["']?[\w.-]{{1,64}}["']?>\s*"""
        rf"(?=<(?:[\w-]{{1,20}}:)?(?:param|arg)|</{tag}>)"
    )
    return re.compile(
        rf"(?P<opened>{opened})|(?P<closed>{re.escape(call_closing)})|(?P<end>{re.escape(closing)})"
        r"|(?m:^(?P<next><(?:parameter=[\w.-]{1,64}|arg_key)>)[ \t]*$)"
    )


def _trimmed(value: str) -> str:
    """The value without the one line break that templates put on either side of it."""
    if data := _DATA.fullmatch(value):
        return data[1]
    padded = _PADDED.fullmatch(value)
    return padded[1] if padded else value
