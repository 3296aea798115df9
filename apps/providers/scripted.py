"""A scripted model: plays the replies of a YAML file, for the bundled sample and for tests.

It keeps no state: the reply is a function of the conversation alone, so restarts and several processes do not
matter. The second message of a conversation names its scene (`# Task: <kind>`, `Title: <title>`); the number
of assistant messages since the track began is the number of the reply.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from apps.core.errors import BadInput
from apps.providers.errors import CONNECT_HINT, ScriptEnded

TASK_PREFIX = "# Task: "
TITLE_PREFIX = "Title: "


@dataclass(frozen=True)
class ScriptedReply:
    """What the script says next; `delay` in seconds is how long the "model" thinks."""

    text: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    delay: float = 0.0
    finish_reason: str = "stop"

    def message(self) -> dict[str, Any]:
        """As an assistant message of the OpenAI form."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = list(self.tool_calls)
        return message


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Said(_Strict):
    text: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()


class ScriptLine(_Strict):
    """One reply: actions with notes, raw text, or `said`: text and tool calls exactly as recorded."""

    notes: str = ""
    actions: tuple[dict[str, dict[str, Any]], ...] = ()
    raw: str | None = None
    said: Said | None = None
    delay: float = Field(default=0.0, ge=0)

    @field_validator("actions")
    @classmethod
    def _one_name_each(cls, actions: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        if any(len(action) != 1 for action in actions):
            raise ValueError("each action is one mapping from its name to its arguments")
        return actions

    def spoken(self, turn: int, *, tools_offered: bool) -> ScriptedReply:
        if self.said is not None:
            return ScriptedReply(self.said.text, self.said.tool_calls, self.delay)
        if self.raw is not None:
            return ScriptedReply(self.raw, delay=self.delay)
        pairs = [pair for action in self.actions for pair in action.items()]
        if not tools_offered:
            body = {
                "actions": [_written(name, arguments) for name, arguments in pairs],
                "notes": self.notes,
            }
            return ScriptedReply(json.dumps(body, ensure_ascii=False, default=str), delay=self.delay)
        calls = tuple(_tool_call(f"call_{turn}_{n}", name, args) for n, (name, args) in enumerate(pairs))
        return ScriptedReply(self.notes, calls, self.delay, "tool_calls" if calls else "stop")


class Track(_Strict):
    """Replies after a message of the platform in which the pattern `match` is found."""

    match: re.Pattern[str]
    replies: tuple[ScriptLine, ...]


class Scene(_Strict):
    """A conversation: `title` is matched exactly; "*" plays for every title no other scene has.

    Scenes of one title may differ in a pattern the task message `contains` or `lacks`.
    """

    task: str
    title: str = "*"
    contains: re.Pattern[str] | None = None
    lacks: re.Pattern[str] | None = None
    replies: tuple[ScriptLine, ...]
    after: tuple[Track, ...] = ()

    def opens_with(self, task_message: str) -> bool:
        """Whether a conversation that begins like this is this scene; the title is checked elsewhere."""
        missing = self.contains is not None and not self.contains.search(task_message)
        excluded = self.lacks is not None and self.lacks.search(task_message) is not None
        return not missing and not excluded

    def line(self, messages: Sequence[dict[str, Any]]) -> ScriptLine | None:
        """The reply to this conversation; None when the script has run out."""
        replies, spoken = self.replies, 0
        for message in messages[2:]:
            if message.get("role") == "assistant":
                spoken += 1
                continue
            heard = content_of(message)
            for track in self.after:
                if track.match.search(heard):
                    replies, spoken = track.replies, 0
        return replies[spoken] if spoken < len(replies) else None


class _Scenes(_Strict):
    scenes: tuple[Scene, ...]


@dataclass(frozen=True)
class Script:
    """A loaded script."""

    path: Path
    scenes: dict[tuple[str, str], list[Scene]] = field(repr=False)

    @staticmethod
    def load(path: Path | str) -> Script:
        """Read a script; raises BadInput that names the place of the mistake."""
        path = Path(path)
        try:
            scenes = _Scenes.model_validate(_read_yaml(path)).scenes
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise BadInput(f"The script {path.name} cannot be read: {error}.") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise BadInput(f"The script {path.name} is not valid at {place}: {first['msg']}.") from None
        found: dict[tuple[str, str], list[Scene]] = {}
        for scene in scenes:
            found.setdefault((scene.task, scene.title), []).append(scene)
        for (task, title), rivals in found.items():
            if len({(scene.contains, scene.lacks) for scene in rivals}) < len(rivals):
                raise BadInput(f"The script {path.name} has two scenes {task!r} {title!r}.")
        return Script(path, found)

    def reply(self, messages: Sequence[dict[str, Any]], *, tools_offered: bool) -> ScriptedReply:
        """What the model says next. Raises ScriptEnded for a conversation that is not in the script."""
        task, title = scene_of(messages)
        known = self.scenes.get((task, title)) or self.scenes.get((task, "*"), [])
        scene = next((scene for scene in known if scene.opens_with(content_of(messages[1]))), None)
        if scene is None:
            what = f"nothing about {task!r} of {title!r}" if task else "nothing about this conversation"
            raise ScriptEnded(
                f"The demo provider only plays its bundled sample and knows {what}.", hint=CONNECT_HINT
            )
        line = scene.line(messages)
        if line is None:
            raise ScriptEnded(f"The script has no further reply for {task!r} of {title!r}.")
        turn = sum(1 for message in messages if message.get("role") == "assistant")
        return line.spoken(turn, tools_offered=tools_offered)


def scene_of(messages: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Task kind and title that the second message begins with; empty strings if it does not."""
    lines = content_of(messages[1]).split("\n", 2) if len(messages) > 1 else []
    if len(lines) < 2 or not (lines[0].startswith(TASK_PREFIX) and lines[1].startswith(TITLE_PREFIX)):
        return "", ""
    return lines[0].removeprefix(TASK_PREFIX).strip(), lines[1].removeprefix(TITLE_PREFIX).strip()


def content_of(message: dict[str, Any]) -> str:
    """The text of a message, also when it is a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def script_at(path: Path | str) -> Script:
    """The script at this path, read again only when the file changes."""
    path = Path(path)
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        raise BadInput(f"There is no script at {path}.") from None
    with _lock:
        known = _loaded.get(path)
        if known is None or known[0] != stamp:
            known = _loaded[path] = (stamp, Script.load(path))
        return known[1]


_loaded: dict[Path, tuple[int, Script]] = {}
_lock = threading.Lock()


class _Loader(yaml.SafeLoader):
    """YAML with `!file path`: the text of a file beside the script."""

    def __init__(self, stream: str, folder: Path) -> None:
        super().__init__(stream)
        self.folder = folder

    def file(self, node: yaml.Node) -> str:
        name = str(self.construct_scalar(node))  # type: ignore[arg-type]
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise yaml.constructor.ConstructorError(
                None, None, f"{name} lies outside the script's folder", node.start_mark
            )
        return path.read_text(encoding="utf-8")


_Loader.add_constructor("!file", _Loader.file)


def _read_yaml(path: Path) -> Any:
    loader = _Loader(path.read_text(encoding="utf-8"), path.parent)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _written(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """An action in the JSON protocol: "type" names it, so its own argument `type` is `bead_type`."""
    return {
        "type": name,
        **{"bead_type" if key == "type" else key: value for key, value in arguments.items()},
    }


def _tool_call(call_id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False, default=str)}
    return {"id": call_id, "type": "function", "function": function}
