"""How each kind of provider is spoken to; one signature for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson

from apps.engine.pacing import outside
from apps.providers import litellm_client, wire
from apps.providers.answers import Answer
from apps.providers.errors import Usage
from apps.providers.link import Server
from apps.providers.models import Provider
from apps.providers.scripted import Script, script_at
from apps.providers.wire import Ask, OnDelta

DEMO_SCRIPT = Path(__file__).resolve().parent / "demo" / "script.yaml"

Speak = Callable[[Ask, OnDelta | None], Answer]


def speaker_for(provider: Provider) -> Speak:
    """The way to a provider; what is wrong with its settings is found here, before the call."""
    if provider.kind == Provider.Kind.SCRIPTED:
        return partial(_play, script_at(provider.endpoint or DEMO_SCRIPT))
    server = server_of(provider)
    limits = wire.patience()
    chat = litellm_client.chat if provider.kind == Provider.Kind.LITELLM else wire.chat

    def speak(ask: Ask, on_delta: OnDelta | None) -> Answer:
        return chat(server, ask, limits=limits, on_delta=on_delta)

    return speak


def server_of(provider: Provider) -> Server:
    return Server(provider.endpoint, provider.reveal_key(), provider.name)


def _play(script: Script, ask: Ask, on_delta: OnDelta | None) -> Answer:
    reply = script.reply([orjson.loads(message) for message in ask.messages], tools_offered=bool(ask.tools))
    if reply.delay:
        with outside():
            time.sleep(reply.delay)
    if on_delta is not None and reply.text:
        on_delta(reply.text)
    answer = Answer(reply.text, reply.tool_calls, reply.finish_reason, model=ask.model)
    sent = sum(map(len, ask.messages)) + len(ask.tools or b"")
    return replace(answer, usage=Usage(prompt=sent // 4, completion=max(1, answer.size // 4)))
