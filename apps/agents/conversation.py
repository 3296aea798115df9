"""A session's conversation: rebuilt from its rows once per lease, then only appended to.

Each message is encoded once, so the cost of a turn does not grow with the turns before it, and what was sent
stays as it was, so that providers find it in their caches: only a compaction, rare and large, begins anew
behind the task.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson

from apps.agents.actions import manual_for, tools_for
from apps.agents.memory_models import Compaction
from apps.agents.models import Session, Turn
from apps.agents.prompts import JSON_PROTOCOL
from apps.agents.replies import written

BYTES_PER_TOKEN = 4.0  # until the model has told
MESSAGE_TOKENS = 8  # what a chat template adds around a message


@dataclass
class Conversation:
    """The encoded messages, what the model itself said about their size, and where each turn begins."""

    native: bool
    messages: list[bytes] = field(default_factory=list)
    tools: bytes | None = None
    known_tokens: int = 0
    known_messages: int = 0
    size: int = 0  # bytes of all messages
    known_size: int = 0
    bytes_per_token: float = BYTES_PER_TOKEN
    begins: dict[int, int] = field(default_factory=dict)  # turn -> bytes before it

    @classmethod
    def load(
        cls,
        session: Session,
        turns: Iterable[Turn],
        retold: Compaction | None = None,
        *,
        bytes_per_token: float = BYTES_PER_TOKEN,
    ) -> Conversation:
        """From the session's rows; `retold` stands for the turns before its `up_to`."""
        talk = cls(native=session.native_tools, bytes_per_token=bytes_per_token)
        system, task, *rest = session.opening
        if talk.native:
            talk.tools = _tools(*session.actions)
            talk.size = len(talk.tools)
        else:
            manual = JSON_PROTOCOL.format(manual=_manual(*session.actions))
            system = {**system, "content": system["content"] + manual}
        if retold is not None:
            # Within the task's message, so that roles go on to alternate.
            task = {**task, "content": f"{task['content']}\n\n{retold.text}"}
        for message in (system, task, *rest):
            talk._add(orjson.dumps(message))
        for turn in turns:
            if retold is not None and turn.number < retold.up_to:
                continue
            # What the model reported before the conversation was shortened is no measure of it.
            talk.add_reply(turn, is_measured=retold is None or turn.number > retold.after_turn)
            if turn.results is not None:
                talk.add_results(turn.actions, turn.results)
        return talk

    @property
    def tokens(self) -> int:
        """What the next prompt takes: as the model counted it, and an estimate of what came since."""
        new = len(self.messages) - self.known_messages
        return (
            self.known_tokens
            + int((self.size - self.known_size) / self.bytes_per_token)
            + MESSAGE_TOKENS * new
        )

    def tokens_from(self, turn: int) -> int:
        """About how much the turns from this one on take."""
        return int((self.size - self.begins.get(turn, self.size)) / self.bytes_per_token)

    def _add(self, message: bytes) -> None:
        # What orjson gives holds on to several times the room it takes; a copy has its own size.
        self.messages.append(bytes(memoryview(message)))
        self.size += len(message)

    def add_reply(self, turn: Turn, *, is_measured: bool = True) -> None:
        self.begins[turn.number] = self.size
        before = self.size
        self._add(self._encode_reply(turn))
        if is_measured and turn.prompt_tokens > 0:
            if before > 2_000:  # in a few words the template weighs too much
                self.bytes_per_token = min(8.0, max(1.0, before / turn.prompt_tokens))
            self.known_tokens = turn.prompt_tokens + turn.completion_tokens
            self.known_messages, self.known_size = len(self.messages), self.size

    def _encode_reply(self, turn: Turn) -> bytes:
        if self.native:
            return turn.reply.encode()
        if turn.actions:
            actions = [written(one["name"], one["arguments"]) for one in turn.actions]
            content = json.dumps({"actions": actions, "notes": turn.notes}, ensure_ascii=False)
            return orjson.dumps({"role": "assistant", "content": content})
        said = json.loads(turn.reply).get("content")
        return orjson.dumps({"role": "assistant", "content": said or "(no text)"})

    def add_results(self, actions: list[dict[str, Any]], results: list[dict[str, Any]]) -> None:
        """Append what came of a reply: {"id", "name", "text"} per action, {"say"} from the platform."""
        said: list[str] = []
        told: list[str] = []
        answered: set[str] = set()
        for result in results:
            text = result.get("text", "")
            if "say" in result:
                said.append(result["say"])
            elif self.native and result["id"] not in answered:
                answered.add(result["id"])
                message = {"role": "tool", "tool_call_id": result["id"], "content": text}
                self._add(orjson.dumps(message))
            else:
                told.append(f"[{len(told) + 1}] {result['name']}\n{text}")
        if told:
            said.insert(0, "\n\n".join(told))
        if said:
            self._add(orjson.dumps({"role": "user", "content": "\n\n".join(said)}))


@cache
def _tools(*actions: str) -> bytes:
    return orjson.dumps(tools_for(actions))


@cache
def _manual(*actions: str) -> str:
    return manual_for(actions)
