"""The only door to a model: choose a provider, reserve, call, settle; on to the next one if it fails."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import orjson
from django.utils import timezone

from apps.core.crash import crashpoint
from apps.core.errors import Conflict
from apps.core.telemetry import span
from apps.engine.pacing import outside
from apps.providers import health, ledger
from apps.providers.answers import Answer
from apps.providers.errors import (
    CallFailed,
    ContextTooLong,
    NoProvider,
    RateLimited,
    Resting,
    ToolsUnsupported,
    Usage,
)
from apps.providers.models import Call, Provider
from apps.providers.pool import candidate_of, played_by, preferred_for, providers_of
from apps.providers.pricing import cost_of, estimate, worst_case
from apps.providers.routing import POLICIES, Choice, choose
from apps.providers.speakers import Speak, speaker_for
from apps.providers.terms import Needs, Payer, Reply, Request
from apps.providers.wire import Ask, OnDelta

__all__ = ["Needs", "Payer", "Reply", "Request", "complete", "encoded", "prompt_room", "takes_tools"]

INLINE_PATIENCE = 5.0  # seconds we wait in place for a rate limit; longer waits are the caller's
SLOT_POLL = 0.25
DEFAULT_RETRY_AFTER = 15.0
TRIAL_RETRY_AFTER = 5.0

InReserve = Callable[[Call], None]
InSettle = Callable[[Reply], None]

log = logging.getLogger(__name__)


def complete(
    request: Request,
    *,
    in_reserve: InReserve | None = None,
    on_reply: InSettle | None = None,
    in_settle: InSettle | None = None,
    on_delta: OnDelta | None = None,
) -> Reply:
    """One answer of a model, paid for and in the ledger. Call it outside any transaction.

    `in_reserve` runs in the transaction that sets the money aside, once per provider tried; the call that it
    gets may have no id yet, its key names it. `in_settle` runs in the one that books the answer, and that is
    rolled back if somebody gave the call up meanwhile; `on_reply` runs right before it, outside of any. Both
    `in_` hooks run once more if the first time was rolled back.
    `on_delta` gets the text as it streams, and again from its start if another provider has to take over.
    Raises BudgetExceeded and the classes of apps.providers.errors.
    """
    rows = providers_of(request.payer.organization_id)
    choice = _choose(request, rows)
    if not choice.order:
        raise _nobody(request, rows, choice)
    failures: list[CallFailed] = []
    too_small = 0
    for number, candidate in enumerate(choice.order):
        provider = rows[candidate.id]
        if (too_small and candidate.context_window <= too_small) or not health.may_try(provider):
            continue
        attempt = _Attempt(request, provider, f"{request.key}.{number}" if number else request.key)
        try:
            with span(
                f"chat {provider.model}",
                gen_ai__operation__name="chat",
                gen_ai__provider__name=provider.name,
                gen_ai__request__model=provider.model,
                gen_ai__request__max_tokens=request.max_tokens,
            ) as traced:
                is_last = number == len(choice.order) - 1
                hooks = _Hooks(in_reserve, on_reply, in_settle, on_delta)
                reply = attempt.run(hooks, is_last=is_last)
                traced.set_attribute("gen_ai.usage.input_tokens", reply.prompt_tokens)
                traced.set_attribute("gen_ai.usage.output_tokens", reply.completion_tokens)
                return reply
        except CallFailed as failure:
            log.warning("call %s: %s", attempt.key, failure.message)
            health.failed(provider, failure)
            failures.append(failure)
            if not failure.elsewhere:
                break
            if isinstance(failure, ContextTooLong):
                too_small = max(too_small, candidate.context_window)
    raise _verdict(failures) if failures else _resting(rows, choice.order[0].cool_until)


def takes_tools(payer: Payer) -> bool:
    """Whether the provider that the payer's next call would go to takes native tools, as far as known."""
    choice = _next(payer, providers_of(payer.organization_id))
    return not choice.order or choice.order[0].tools is not False


def prompt_room(payer: Payer, *, max_tokens: int) -> int:
    """Tokens that a prompt may have at the provider the next call would go to; 0: its window is not known.

    Room for an answer of `max_tokens` is set aside.
    """
    rows = providers_of(payer.organization_id)
    if not any(provider.context_window for provider in rows.values()):
        return 0
    choice = _next(payer, rows)
    if not choice.order or not choice.order[0].context_window:
        return 0
    provider = rows[choice.order[0].id]
    return max(1, provider.context_window - answer_room(provider, max_tokens))


def answer_room(provider: Provider, max_tokens: int) -> int:
    """Tokens that an answer may have: those asked for, as far as the model and its window bear it."""
    limits = [max_tokens, provider.max_output, provider.context_window // 4]
    return min(limit for limit in limits if limit)


def encoded(*messages: dict[str, Any]) -> list[bytes]:
    """Messages as requests hold them."""
    return [orjson.dumps(message) for message in messages]


class _Hooks(NamedTuple):
    """What the caller does at the moments of a call."""

    in_reserve: InReserve | None
    on_reply: InSettle | None
    in_settle: InSettle | None
    on_delta: OnDelta | None


class _Attempt:
    """One try of one provider: its ledger row, its call."""

    def __init__(self, request: Request, provider: Provider, key: str) -> None:
        self.request = request
        self.provider = provider
        self.key = key
        self.max_output = answer_room(provider, request.max_tokens)

    def run(self, hooks: _Hooks, *, is_last: bool) -> Reply:
        speak = speaker_for(self.provider)
        if is_last and self.provider.max_concurrency:
            _wait_for_slot(self.provider)
        amount = worst_case(self.request, max_output=self.max_output, price=self.provider.price)
        call = ledger.reserve(
            self.request, self.provider, key=self.key, amount=amount, in_reserve=hooks.in_reserve
        )
        crashpoint("after_reserve")
        started = time.monotonic()
        try:
            answer = _patiently(speak, self._ask(streams=hooks.on_delta is not None), hooks.on_delta)
        except CallFailed as failure:
            usage = self._usage_of(failure)
            ledger.fail(call, failure, usage, self.provider, latency_ms=_ms_since(started))
            raise
        except BaseException:
            ledger.lose([call])  # interrupted in the middle: nobody knows what the provider will charge
            raise
        crashpoint("before_settle")
        reply = self._settle(call, answer, _ms_since(started), hooks)
        health.succeeded(self.provider, reply.latency_ms)
        return reply

    def _ask(self, *, streams: bool) -> Ask:
        request = self.request
        return Ask(
            model=self.provider.model,
            messages=request.messages,
            max_tokens=self.max_output,
            tools=request.tools,
            temperature=request.temperature,
            stream=streams and self.provider.supports_streaming,
        )

    def _settle(self, call: Call, answer: Answer, latency_ms: int, hooks: _Hooks) -> Reply:
        usage = answer.usage or estimate(self.request, reply_bytes=answer.size)
        reply = self._reply(call, answer, usage, latency_ms=latency_ms)
        settle = partial(
            ledger.settle,
            call,
            usage,
            self.provider,
            latency_ms=latency_ms,
            finish_reason=answer.finish_reason,
        )
        try:
            if hooks.on_reply is not None:
                hooks.on_reply(reply)
            settle(in_settle=partial(hooks.in_settle, reply) if hooks.in_settle is not None else None)
        except Conflict:
            raise
        except BaseException:
            with suppress(Conflict):
                settle()  # the caller could not use the answer, but it was given and costs what it costs
            raise
        return reply

    def _reply(self, call: Call, answer: Answer, usage: Usage, *, latency_ms: int) -> Reply:
        return Reply(
            text=answer.text,
            tool_calls=answer.tool_calls,
            prompt_tokens=usage.prompt,
            completion_tokens=usage.completion,
            cost_microusd=cost_of(usage, self.provider.price),
            latency_ms=latency_ms,
            provider_id=self.provider.pk,
            provider_name=self.provider.name,
            model=answer.model or self.provider.model,
            finish_reason=answer.finish_reason,
            call_id=call.pk,
            native_tools=bool(self.request.tools),
            cached_tokens=usage.cached,
            estimated=usage.estimated,
        )

    def _usage_of(self, failure: CallFailed) -> Usage:
        """What a failed call is booked with: as reported, else the prompt and what had come of the answer."""
        if failure.usage is not None and not failure.usage.estimated:
            return failure.usage
        if not failure.billable:
            return Usage()
        generated = failure.usage.completion if failure.usage else 0
        return estimate(self.request, reply_bytes=4 * generated)


def _choose(request: Request, rows: dict[int, Provider]) -> Choice:
    return choose(
        [candidate_of(row) for row in rows.values()],
        needs=request.needs,
        policy=request.policy,
        now=timezone.now(),
        tools_offered=bool(request.tools),
        pinned=request.provider_id or played_by(request.payer),
        preferred=preferred_for(request.payer),
    )


def _next(payer: Payer, rows: dict[int, Provider]) -> Choice:
    """Where the payer's next call would go, as far as is known before it is made."""
    candidates = [candidate_of(row) for row in rows.values()]
    return choose(
        candidates,
        needs=Needs(),
        policy=POLICIES[0],
        now=timezone.now(),
        pinned=played_by(payer),
        preferred=preferred_for(payer),
    )


def _patiently(speak: Speak, ask: Ask, on_delta: OnDelta | None) -> Answer:
    """Call, waiting out rate limits that are over soon."""
    waited, pause = 0.0, 1.0
    while True:
        try:
            return speak(ask, on_delta)
        except RateLimited as limit:
            wait = pause if limit.retry_after is None else limit.retry_after
            wait += random.uniform(0.0, 0.1 + 0.2 * wait)  # noqa: S311 - spreads callers, hides nothing
            if waited + wait > INLINE_PATIENCE:
                raise
        with outside():
            time.sleep(wait)
        waited += wait
        pause *= 2


def _wait_for_slot(provider: Provider) -> None:
    """Give calls under way a moment to end; the reservation counts exactly."""
    until = time.monotonic() + INLINE_PATIENCE
    while time.monotonic() < until and _is_busy(provider):
        with outside():
            time.sleep(SLOT_POLL * random.uniform(0.8, 1.2))  # noqa: S311 - spreads callers, hides nothing


def _is_busy(provider: Provider) -> bool:
    return ledger.calls_under_way(provider, timezone.now()) >= provider.max_concurrency


def _nobody(request: Request, rows: dict[int, Provider], choice: Choice) -> CallFailed:
    """Why there is no candidate, in one sentence."""
    if request.provider_id is not None and request.provider_id not in rows:
        return NoProvider(
            f"Provider {request.provider_id} is not available.",
            hint="It was deleted or disabled, or belongs to another organization; choose another one.",
        )
    if not rows:
        return NoProvider("No model is connected.")
    if until := choice.rest_until():
        return _resting(rows, until)
    if (
        request.tools
        and not request.needs.tools
        and all(why == "takes no tools" for _, why in choice.refused)
    ):
        return ToolsUnsupported("None of the connected models takes tools.")
    return NoProvider(
        f"None of the connected models fits ({choice.reasons()}).",
        hint="Connect one that does, or ask for less.",
    )


def _resting(rows: dict[int, Provider], until: datetime | None) -> CallFailed:
    wait = (until - timezone.now()).total_seconds() if until else 0.0
    error = next((row.last_error for row in rows.values() if row.cool_until and row.last_error), "")
    return Resting(
        f"Every model that fits is left alone for a while{': ' + error if error else ' after failures.'}",
        # Over already: another worker makes the trial just now.
        retry_after=wait if wait > 0 else TRIAL_RETRY_AFTER,
    )


def _verdict(failures: list[CallFailed]) -> CallFailed:
    """Of several failures the one to act on: one that may pass if there is any, soonest first."""
    chosen = min(failures, key=lambda f: (not f.retryable, f.retry_after or 0.0))
    if isinstance(chosen, RateLimited):
        chosen.details.setdefault("retry_after", DEFAULT_RETRY_AFTER)
    others = [failure.message for failure in failures if failure is not chosen]
    if others:
        chosen.details["others"] = others
    return chosen


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
