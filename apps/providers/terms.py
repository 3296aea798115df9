"""The terms of a call to a model: who pays, what is asked, what is needed, what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Payer:
    """Whose money and whose work: every budget that exists for one of these ids applies."""

    organization_id: int
    project_id: int | None = None
    bead_id: int | None = None
    session_id: int | None = None
    run_id: int | None = None
    purpose: str = ""
    user_id: int | None = None  # the person who asked, where it was one
    role: str = ""  # of the agent at work


@dataclass(frozen=True)
class Needs:
    """What a provider must offer. Zero and empty mean: no demand."""

    context_window: int = 0  # tokens
    tools: bool = False
    vision: bool = False
    max_price: int | None = None  # micro-USD per million tokens, three parts input to one part output
    max_latency_ms: int = 0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """One call.

    `messages` are JSON-encoded chat messages of the OpenAI form, encoded once and appended to; they are
    joined into the body and never walked again. `known_tokens` is what the model itself reported for the
    first `known_messages` of them. `key` is `<stem>#<attempt>`: a row of the same stem that is still
    reserved belongs to an attempt that died, and is booked as lost; `is_first` says that there was none.
    """

    messages: Sequence[bytes]
    payer: Payer
    key: str
    tools: bytes | None = None
    max_tokens: int = 4096
    temperature: float | None = None
    known_tokens: int = 0
    known_messages: int = 0
    needs: Needs = Needs()
    provider_id: int | None = None
    policy: str = "balanced"
    is_first: bool = False


@dataclass(frozen=True)
class Reply:
    """A model's answer, paid for and booked. `native_tools`: tools were offered in the call."""

    text: str
    tool_calls: tuple[dict[str, Any], ...]
    prompt_tokens: int
    completion_tokens: int
    cost_microusd: int
    latency_ms: int
    provider_id: int
    provider_name: str
    model: str
    finish_reason: str
    call_id: int
    native_tools: bool
    cached_tokens: int = 0
    estimated: bool = False  # the server reported no usage; tokens and cost are our estimate
