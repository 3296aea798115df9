"""What every action is: typed arguments, the world it acts on, and a bounded result for model and people."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, get_origin

from pydantic import BaseModel, ConfigDict

from apps.agents.git import disk_error
from apps.agents.results import CheckReport, CommandResult
from apps.commands.judging import Judgement, judge
from apps.core.errors import LoomError

if TYPE_CHECKING:
    from apps.agents.actions.finish import Decide, Done, SubmitReview
    from apps.agents.actions.memory import ReadOutput
    from apps.agents.actions.orchestrate import Orchestrate
    from apps.agents.actions.plan import CreateBead, Delegate, UpdateBead
    from apps.agents.actions.talk import AskQuestion, Remember, RequestDecision, SendMessage

LIMIT = 16_000  # characters of one result that the model is shown
_PLATFORM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# What models like to say beside the arguments; never an argument unless the action has such a field.
_ASIDES = frozenset(
    {
        "comment",
        "description",
        "explanation",
        "id",
        "note",
        "notes",
        "reason",
        "reasoning",
        "thought",
        "thoughts",
    }
)


@dataclass(frozen=True)
class Result:
    """What an action gave. `text` is for the model, `data` (JSON) is kept with the turn for people.

    `whole` is the complete text where `text` had to leave some of it out. `changed` means that files may have
    changed. `ends` says what the session does next: "" goes on, else "claim", "wait", "review" or "decide".
    """

    ok: bool
    text: str
    data: dict[str, Any] = field(default_factory=dict)
    changed: bool = False
    ends: str = ""
    whole: str = ""


class GitView(Protocol):
    """Git as an agent may see it: read only, text."""

    def status(self) -> str: ...
    def diff(self, paths: Iterable[str] = ()) -> str: ...
    def log(self, limit: int = 20) -> str: ...


class Desk(Protocol):
    """The platform's side of actions: each returns the text for the model, or raises LoomError to refuse.

    `index` is the action's place in its reply; with the turn it identifies the effect after a crash.
    """

    def bead_create(self, action: CreateBead, index: int) -> str: ...
    def bead_update(self, action: UpdateBead) -> str: ...
    def question_ask(self, action: AskQuestion, index: int) -> str: ...
    def decision_request(self, action: RequestDecision, index: int) -> str: ...
    def command_ask(self, judgement: Judgement, index: int) -> str: ...
    def message_send(self, action: SendMessage) -> str: ...
    def bead_delegate(self, action: Delegate, index: int) -> str: ...
    def note_remember(self, action: Remember) -> str: ...
    def output_read(self, action: ReadOutput) -> str: ...
    def work_claim(self, action: Done) -> str: ...
    def review_submit(self, action: SubmitReview) -> str: ...
    def decision_decide(self, action: Decide) -> str: ...
    def orchestrate(self, action: Orchestrate, index: int) -> str: ...


class Files(Protocol):
    """The part of a context that files are changed with."""

    @property
    def root(self) -> Path: ...
    @property
    def seen(self) -> set[str]: ...
    @property
    def write(self) -> Callable[[Path, bytes], None]: ...


@dataclass
class ActionContext:
    """The world of one turn's actions. `run(command, *, timeout)` and `check(kind)` go through the sandbox,
    commands that `judge` lets pass.

    `seen` holds the paths the model has read or written in this session; `write` is the only way to write
    files, since it keeps owner and mode right for the sandbox; `index` is the action's place in its reply.
    """

    root: Path
    base: str
    seen: set[str]
    run: Callable[..., CommandResult]
    check: Callable[[str], CheckReport]
    git: GitView
    write: Callable[[Path, bytes], None]
    desk: Desk
    judge: Callable[[str], Judgement] = judge
    index: int = 0


class Action(BaseModel):
    """One thing an agent may do. Subclasses name their arguments as fields and implement `act`."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    name: ClassVar[str]
    purpose: ClassVar[str]
    group: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    renamed: ClassVar[dict[str, str]] = {}  # argument names that models use -> ours
    ignored: ClassVar[frozenset[str]] = frozenset()  # arguments of the original that mean nothing here
    example: ClassVar[str] = ""  # one, as JSON, where the arguments alone do not show the form
    is_look: ClassVar[bool] = False  # changes nothing and takes milliseconds
    always: ClassVar[bool] = False  # open to every role and never listed

    def run(self, ctx: ActionContext) -> Result:
        """Act; what the model can mend comes back as a failed result, what it cannot is raised."""
        try:
            return self.act(ctx)
        except LoomError as error:
            if error.status >= 500:
                raise
            return failed(error.message, error.hint)
        except OSError as error:
            if error.errno in _PLATFORM:
                raise disk_error(error, ctx.root) from error
            return failed(f"The operating system refused: {error.strerror or error}.")

    def act(self, ctx: ActionContext) -> Result:
        raise NotImplementedError

    @classmethod
    def chosen(cls, arguments: dict[str, Any]) -> type[Action]:
        """The class these arguments are really for, where one name of the original did several things."""
        return cls

    @classmethod
    def adapted(cls, arguments: dict[str, Any], *, called: str) -> dict[str, Any]:
        """Arguments under our names: other spellings, texts that hold lists, remarks left out.

        `called` is the name the model used, which may be an alias.
        """
        adapted: dict[str, Any] = {}
        for key, value in arguments.items():
            ours = cls._ours(key)
            if ours in cls.model_fields:
                if ours not in adapted or ours == key:
                    adapted[ours] = cls._fitting(ours, value)
            elif key not in _ASIDES and key not in cls.ignored:
                adapted[key] = value
        return adapted

    @classmethod
    def _ours(cls, key: str) -> str:
        if key in cls.model_fields:
            return key
        plain = _CAMEL.sub("_", key).replace("-", "_").lower()
        return cls.renamed.get(plain, plain)

    @classmethod
    def _fitting(cls, key: str, value: Any) -> Any:
        """Local models send every argument as text, and a single item where a list is meant."""
        if get_origin(cls.model_fields[key].annotation) is not list or isinstance(value, list):
            return value
        if isinstance(value, str):
            text = value.strip()
            if not text:
                return []
            try:
                parsed = json.loads(text) if text[0] in "[{" else value
            except ValueError:
                parsed = value
            return parsed if isinstance(parsed, list) else [parsed]
        return [value] if isinstance(value, dict) else value


def failed(message: str, hint: str = "") -> Result:
    return Result(ok=False, text=clip(f"{message}\n{hint}".strip()))


def clip(text: str, limit: int = LIMIT) -> str:
    """`text` within `limit` characters; the middle goes, for beginnings and ends tell most."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit * 2 // 5], text[len(text) - limit * 3 // 5 :]
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left_out:,} characters left out ...]\n{tail}"
