"""Where pages are: a page has many links, and to work one out takes longer than to write it."""

from __future__ import annotations

from functools import lru_cache

from django.urls import get_script_prefix, reverse

KEPT = 8192


def address(name: str, *arguments: int | str) -> str:
    """The address of a page; `reverse` that remembers."""
    return _address(get_script_prefix(), name, arguments)


@lru_cache(maxsize=KEPT)
def _address(prefix: str, name: str, arguments: tuple[int | str, ...]) -> str:
    return reverse(name, args=arguments)
