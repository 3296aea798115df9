"""A session's conversation: rebuilt from its rows once per lease, then only appended to.

Each message is encoded once, so the cost of a turn does not grow with the turns before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson

from apps.agents.actions import manual_for, tools_for
from apps.agents.models import Session, Turn
from apps.agents.prompts import JSON_PROTOCOL
from apps.agents.replies import written

SHORTENED = 400  # characters that a result keeps once it is compacted


@dataclass
class Conversation:
    """The encoded messages and what the model itself said about their size."""

    native: bool
    messages: list[bytes] = field(default_factory=list)
    tools: bytes | None = None
    known_tokens: int = 0
    known_messages: int = 0

    @classmethod
    def load(cls, session: Session, turns: Iterable[Turn]) -> Conversation:
        talk = cls(native=session.native_tools)
        system, *rest = session.opening
        if talk.native:
            talk.tools = _tools(*session.actions)
        else:
            manual = JSON_PROTOCOL.format(manual=_manual(*session.actions))
            system = {**system, "content": system["content"] + manual}
        for message in (system, *rest):
            talk.messages.append(orjson.dumps(message))
        for turn in turns:
            shorten = turn.number < session.compacted_to
            talk.add_reply(turn, shorten=shorten)
            if turn.results is not None:
                talk.add_results(turn.actions, turn.results, shorten=shorten)
        return talk

    def add_reply(self, turn: Turn, *, shorten: bool = False) -> None:
        self.messages.append(self._encode_reply(turn, shorten=shorten))
        self.known_tokens = turn.prompt_tokens + turn.completion_tokens
        self.known_messages = len(self.messages)

    def _encode_reply(self, turn: Turn, *, shorten: bool) -> bytes:
        if self.native and not shorten:
            return turn.reply.encode()
        message = json.loads(turn.reply)
        if not self.native and turn.actions:
            actions = [
                written(one["name"], _cut_arguments(one["arguments"], shorten)) for one in turn.actions
            ]
            content = json.dumps({"actions": actions, "notes": turn.notes}, ensure_ascii=False)
            return orjson.dumps({"role": "assistant", "content": content})
        if not self.native:
            return orjson.dumps({"role": "assistant", "content": message.get("content") or "(no text)"})
        for call in message.get("tool_calls", ()):
            arguments = _cut_arguments(json.loads(call["function"]["arguments"]), shorten)
            call["function"]["arguments"] = json.dumps(arguments, ensure_ascii=False)
        return orjson.dumps(message)

    def add_results(
        self, actions: list[dict[str, Any]], results: list[dict[str, Any]], *, shorten: bool = False
    ) -> None:
        """Append what came of a reply: {"id", "name", "text"} per action, {"say"} from the platform."""
        said: list[str] = []
        told: list[str] = []
        answered: set[str] = set()
        for result in results:
            text = _short(result) if shorten else result.get("text", "")
            if "say" in result:
                said.append(result["say"])
            elif self.native and result["id"] not in answered:
                answered.add(result["id"])
                message = {"role": "tool", "tool_call_id": result["id"], "content": text}
                self.messages.append(orjson.dumps(message))
            else:
                told.append(f"[{len(told) + 1}] {result['name']}\n{text}")
        if told:
            said.insert(0, "\n\n".join(told))
        if said:
            self.messages.append(orjson.dumps({"role": "user", "content": "\n\n".join(said)}))


@cache
def _tools(*actions: str) -> bytes:
    return orjson.dumps(tools_for(actions))


@cache
def _manual(*actions: str) -> str:
    return manual_for(actions)


def _cut_arguments(arguments: dict[str, Any], shorten: bool) -> dict[str, Any]:
    """Arguments with their long texts cut, such as the content of a file that was written."""
    if not shorten:
        return arguments
    return {key: _cut(value) if isinstance(value, str) else value for key, value in arguments.items()}


def _short(result: dict[str, Any]) -> str:
    return _cut(str(result.get("text", "")))


def _cut(text: str) -> str:
    if len(text) <= SHORTENED:
        return text
    return (
        f"{text[:SHORTENED]}\n[{len(text) - SHORTENED} characters left out to save room; ask again if needed]"
    )
