"""The side to compare with: the loop everybody writes first, litellm.completion and a list of messages."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from tests.bench.child import Command


def session(url: str, opening: dict[str, Any], file: str) -> dict[str, Any]:
    """Play one session to its end; seconds of CPU."""
    messages = [json.loads(message) for message in opening["messages"]]
    tools = json.loads(opening["tools"])
    began, turns = time.process_time(), 0
    while True:
        reply = litellm.completion(
            model="openai/script",
            api_base=url,
            api_key="key",
            messages=messages,
            tools=tools,
            max_tokens=8192,
        )
        message = reply.choices[0].message
        call = message.tool_calls[0]
        if call.function.name == "done":
            return {"cpu": time.process_time() - began, "turns": turns}
        turns += 1
        messages.append(message.model_dump(exclude_none=True))
        result = read_file(Path(file), **json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def read_file(file: Path, path: str, offset: int, limit: int) -> str:
    """The same words that Loom's action says, so that both conversations are of one size."""
    lines = file.read_text().splitlines()
    shown = lines[offset - 1 : offset - 1 + limit]
    body = "\n".join(f"{number:>5}\t{line}" for number, line in enumerate(shown, start=offset))
    last = offset + len(shown) - 1
    foot = f"\n[{len(lines) - last} more lines; go on with offset={last + 1}]" if last < len(lines) else ""
    return f"{path} (lines {offset}-{last} of {len(lines)})\n{body}{foot}"


def commands() -> dict[str, Command]:
    return {"session": session}
