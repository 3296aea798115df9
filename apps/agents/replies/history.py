"""What is kept of a reply in the conversation: always in a form that strict servers accept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from apps.agents.replies.language import strip
from apps.agents.replies.reading import Call, Reading
from apps.agents.replies.thinking import answer_start

MAX_CONTENT = 60_000
_SHOWN = 600
_BAD_NAME = re.compile(r"[^a-zA-Z0-9_-]")


def valid_history(
    text: str | None, tool_calls: Sequence[Mapping[str, Any]], reading: Reading
) -> dict[str, Any]:
    """The assistant message to keep for a reply that was read as `reading`.

    Every action understood stands in it as a tool call with valid JSON arguments and a unique id, also one
    that the model wrote as text: each needs a result. What was not understood stays in the text, so that
    the model sees its slip.
    """
    text = text or ""
    content = _clean(strip(text[answer_start(text) :]))  # instructions stand there as tool calls
    if not tool_calls and reading.actions and not reading.error:
        content = reading.notes  # the text was the actions themselves
    if len(reading.actions) < len(tool_calls):
        quoted = _clean(json.dumps([_function(call) for call in tool_calls], ensure_ascii=False, default=str))
        content = f"{content}\n[tool calls as sent, not all readable: {quoted[:_SHOWN]}]".strip()
    if not reading.actions:
        return {"role": "assistant", "content": content or "(empty reply)"}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [_tool_call(call) for call in reading.actions],
    }


def _tool_call(call: Call) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    function = {"name": _BAD_NAME.sub("_", call.name)[:64], "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def written(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """An action in the JSON protocol, where "type" names it and its own argument `type` is `bead_type`."""
    return {
        "type": name,
        **{("bead_type" if key == "type" else key): item for key, item in arguments.items()},
    }


def _function(call: Mapping[str, Any]) -> Any:
    return call.get("function", call)


def _clean(text: str) -> str:
    text = text.replace("\0", "").encode("utf-8", "replace").decode().strip()
    if len(text) <= MAX_CONTENT:
        return text
    return f"{text[:MAX_CONTENT]}\n[{len(text) - MAX_CONTENT} characters left out]"
