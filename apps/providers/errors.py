"""What can go wrong between us and a model: one class per cause, each with a sentence and what to do.

ProviderError (core)
└── CallFailed
    ├── NoProvider        nothing is configured, or nothing configured fits
    ├── Unreachable       no connection, or it broke
    ├── TimedOut          connected, but no answer in time
    ├── ServerFailed      5xx
    ├── RateLimited       429 beyond our patience
    │   └── Busy          as many calls under way as the provider may get
    ├── Resting           every provider that fits is left alone for a while after failures
    ├── Garbage           an answer that is no chat completion
    ├── Unauthorized      401, 403, or a key that cannot be read
    ├── OutOfCredit       402, or a quota that waiting does not refill
    ├── ModelMissing      404
    ├── ContextTooLong    the conversation does not fit
    ├── ToolsUnsupported  the model takes no tools: render the conversation without and call again
    ├── Rejected          any other 4xx
    └── ScriptEnded       the scripted provider does not know this conversation
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from apps.core.errors import ProviderError

CONNECT_HINT = (
    "Connect a model: set OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY or OPENROUTER_API_KEY, "
    "or LOOM_PROVIDER_URL with LOOM_MODEL and LOOM_API_KEY for any OpenAI-compatible server, "
    "or start a local one (Ollama, vLLM, llama.cpp, LM Studio)."
)


@dataclass(frozen=True)
class Usage:
    """Tokens of one call; `prompt` includes the `cached` ones. `estimated`: the server did not say."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    estimated: bool = False


class CallFailed(ProviderError):
    """A call to a model failed.

    `retryable`: the same call may succeed later. `elsewhere`: another provider may succeed now.
    `billable`: the model may have worked, so the call is booked even though nothing useful came back.
    """

    retryable: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = True
    breaks: ClassVar[bool] = False  # counts towards opening the provider's circuit
    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
        billable: bool = False,
        usage: Usage | None = None,
    ) -> None:
        details = dict(details or {})
        if retry_after is not None:
            details["retry_after"] = retry_after
        super().__init__(message, hint=hint or self.default_hint, details=details)
        self.billable = billable
        self.usage = usage

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before trying again, where the server said or the circuit demands it."""
        value = self.details.get("retry_after")
        return None if value is None else float(value)


class NoProvider(CallFailed):
    code = "no_provider"
    status = 503
    elsewhere = False
    default_hint = CONNECT_HINT


class Unreachable(CallFailed):
    code = "provider_unreachable"
    retryable = True
    breaks = True
    default_hint = "Check that the server runs and that the provider's URL is right."


class TimedOut(CallFailed):
    code = "provider_timeout"
    status = 504
    retryable = True
    breaks = True
    default_hint = "The server may be overloaded; LOOM_MODEL_TIMEOUT (seconds) says how long to wait."


class ServerFailed(CallFailed):
    code = "provider_failed"
    retryable = True
    breaks = True
    default_hint = "The fault is at the provider; Loom tries again later."


class RateLimited(CallFailed):
    code = "rate_limited"
    status = 429
    retryable = True
    default_hint = "Go on when the limit is over, or add another provider."


class Busy(RateLimited):
    code = "provider_busy"
    default_hint = "Loom waits for a free place; max_concurrency of the provider says how many there are."


class Resting(CallFailed):
    code = "provider_resting"
    status = 503
    retryable = True
    default_hint = "Loom tries again by itself; the providers page shows what went wrong."


class Garbage(CallFailed):
    code = "provider_garbage"
    retryable = True
    breaks = True
    default_hint = "Check that the URL is the base of an OpenAI-compatible API; it usually ends in /v1."


class Unauthorized(CallFailed):
    code = "provider_unauthorized"
    default_hint = "Check the API key and what it is allowed to use."


class OutOfCredit(CallFailed):
    code = "provider_out_of_credit"
    default_hint = "Add credit to the account at the provider, or connect another provider."


class ModelMissing(CallFailed):
    code = "model_missing"
    default_hint = "Check the model's name (LOOM_MODEL) and that the URL is the base of the API."


class ContextTooLong(CallFailed):
    code = "context_too_long"
    default_hint = "Shorten the conversation, or use a model with a larger context window."


class ToolsUnsupported(CallFailed):
    code = "tools_unsupported"
    elsewhere = False
    default_hint = "Use the JSON protocol with this model (LOOM_TOOLS=off)."


class Rejected(CallFailed):
    code = "provider_rejected"
    default_hint = "The provider's message says what it does not accept."


class ScriptEnded(CallFailed):
    code = "script_ended"
    elsewhere = False
    default_hint = CONNECT_HINT
