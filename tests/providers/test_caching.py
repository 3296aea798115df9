"""Which messages a provider is asked to keep in its cache."""

from __future__ import annotations

from typing import Any

import pytest

from apps.providers.caching import cache_marked

TALK: list[dict[str, Any]] = [
    {"role": role, "content": str(number)}
    for number, role in enumerate(["system", "user", "assistant", "tool", "user"])
]


@pytest.mark.parametrize(
    "model", ["anthropic/claude-sonnet-5", "bedrock/eu.anthropic.claude-opus-5", "vertex_ai/claude-haiku-5"]
)
def test_where_caches_must_be_asked_for_the_prefix_is_marked(model: str) -> None:
    marked = cache_marked(TALK, model)
    assert [place for place, message in enumerate(marked) if "cache_control" in message] == [0, 1, 4]
    assert [{**message, "cache_control": 0} for message in marked] == [
        {**one, "cache_control": 0} for one in TALK
    ]
    assert len(cache_marked(TALK[:2], model)) == 2


@pytest.mark.parametrize("model", ["gemini/gemini-3", "openai/gpt-6", "mistral/large", "my-claudette"])
def test_others_find_it_by_themselves(model: str) -> None:
    assert cache_marked(TALK, model) == TALK
