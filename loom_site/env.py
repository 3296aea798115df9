"""Typed reading of environment variables; a bad value stops the start with the variable's name."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}
T = TypeVar("T")
READ: dict[str, Any] = {}  # name -> the value in force, for the operators' page


def _noted(name: str, value: T) -> T:
    READ[name] = value
    return value


def env_str(name: str, default: str = "") -> str:
    return _noted(name, os.environ.get(name, default))


def env_bool(name: str, default: bool) -> bool:
    raw = os.environ.get(name)
    if raw is None:
        return _noted(name, default)
    value = raw.strip().lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be on or off, not {raw!r}.")
    return _noted(name, value in TRUE)


def env_int(name: str, default: int) -> int:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return _noted(name, default)
    try:
        return _noted(name, int(raw))
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {raw!r}.") from None


def env_float(name: str, default: float) -> float:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return _noted(name, default)
    try:
        return _noted(name, float(raw))
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {raw!r}.") from None


def env_list(name: str, default: list[str]) -> list[str]:
    raw = os.environ.get(name)
    return _noted(name, default if raw is None else [item.strip() for item in raw.split(",") if item.strip()])
