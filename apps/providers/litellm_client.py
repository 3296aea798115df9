"""Every provider that does not speak the OpenAI wire, through LiteLLM; the only module that imports it.

The import takes seconds and some 200 MB, so it happens at the first call and only in processes that make one.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from apps.engine.pacing import outside
from apps.providers.answers import Answer, Merger, overhear, read_completion
from apps.providers.caching import cache_marked
from apps.providers.errors import CallFailed, ContextTooLong, NoProvider, TimedOut, Unreachable, Usage
from apps.providers.faults import Asked, clean, named_fault, wait_in
from apps.providers.link import Patience, Server
from apps.providers.scissors import waited
from apps.providers.wire import Ask, OnDelta

_import_lock = threading.Lock()
_NAMES = re.compile(r"^(?:(?:litellm\.)?\w*(?:Error|Exception)\s*[:-]\s*)+")


def chat(server: Server, ask: Ask, *, limits: Patience, on_delta: OnDelta | None = None) -> Answer:
    """One chat completion. `ask.model` is LiteLLM's name, such as `anthropic/claude-sonnet-5`."""
    litellm = _litellm()
    asked = Asked(server.label, ask.model, server.key, tools=bool(ask.tools))
    response = _guarded(lambda: litellm.completion(**_arguments(server, ask, limits)), asked)
    if ask.stream:
        return _read_stream(iter(response), asked, on_delta)
    answer = read_completion(response.model_dump())
    if on_delta is not None and answer.text:
        on_delta(answer.text)
    return answer


def _read_stream(chunks: Iterator[Any], asked: Asked, on_delta: OnDelta | None) -> Answer:
    merged = Merger()
    try:
        while (chunk := _guarded(lambda: next(chunks, None), asked)) is not None:
            data = chunk.model_dump()
            overhear(on_delta, data)
            text = merged.add_chunk(data)
            if text and on_delta is not None:
                on_delta(text)
    except CallFailed as failure:
        if not merged.is_empty:  # what has come so far was generated, so it will be on the bill
            failure.billable = True
            failure.usage = merged.usage or Usage(completion=-(-merged.size // 4), estimated=True)
        raise
    return merged.answer()


def _guarded(call: Callable[[], Any], asked: Asked) -> Any:
    try:
        with outside():
            return waited(call)
    except CallFailed:  # it was cut
        raise
    except Exception as error:  # noqa: BLE001 - the edge to foreign code: whatever it raises is a failed call
        raise _fault(error, asked) from None


def _arguments(server: Server, ask: Ask, limits: Patience) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": ask.model,
        "messages": cache_marked([orjson.loads(message) for message in ask.messages], ask.model),
        "max_tokens": ask.max_tokens,
        "timeout": limits.total,
        "num_retries": 0,
        "max_retries": 0,
        "drop_params": True,
    }
    if server.key:
        arguments["api_key"] = server.key
    if server.url:
        arguments["api_base"] = server.url
    if ask.tools:
        arguments["tools"] = orjson.loads(ask.tools)
    if ask.temperature is not None:
        arguments["temperature"] = ask.temperature
    if ask.stream:
        arguments |= {"stream": True, "stream_options": {"include_usage": True}}
    return arguments


def _fault(error: Any, asked: Asked) -> CallFailed:
    kind = type(error).__name__
    said = clean(_own_words(str(getattr(error, "message", error))), asked.key)
    if kind == "ContextWindowExceededError":
        return ContextTooLong(f"The conversation is too long for {asked.model} at {asked.where}: {said}")
    if kind in {"Timeout", "APITimeoutError"}:
        return TimedOut(f"{asked.where} did not answer in time: {said}", billable=True)
    if kind == "APIConnectionError":
        return Unreachable(f"{asked.where} cannot be reached: {said}", billable=True)
    status = getattr(error, "status_code", None)
    return named_fault(
        status if isinstance(status, int) else 500,
        said,
        asked,
        wait=wait_in(_headers_of(error), said.encode()),
    )


def _own_words(message: str) -> str:
    """Without the names LiteLLM puts in front: `litellm.RateLimitError: AnthropicException - ...`."""
    return _NAMES.sub("", message)


def _headers_of(error: Any) -> Mapping[str, str]:
    """The server's headers; LiteLLM moves them to a place of its own."""
    sources = (getattr(error, "litellm_response_headers", None), getattr(error, "response", None))
    for source in sources:
        headers = getattr(source, "headers", source)
        if headers:
            return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


def _litellm() -> Any:
    with _import_lock:
        # Otherwise importing fetches a price map from the internet.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        is_new = "litellm" not in sys.modules
        try:
            litellm: Any = importlib.import_module("litellm")
        except ImportError as error:
            raise NoProvider(
                f"LiteLLM cannot be imported: {error}.",
                hint="Install the requirements again (make install).",
            ) from None
        if is_new:
            gc.freeze()  # every full collection would look through its half million objects
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
            # It logs each call, twice; what fails we say ourselves, without keys.
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return litellm
