"""Tests of lower apps with the reactions of higher ones turned off: nobody starts to work on their beads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.events import bus


@pytest.fixture
def nobody_reacts() -> Iterator[None]:
    registries = [value for name, value in vars(bus).items() if name.endswith("_handlers")]
    reactions = [dict(registry) for registry in registries]
    for registry in registries:
        registry.clear()
    yield
    for registry, kept in zip(registries, reactions, strict=True):
        registry.update(kept)
