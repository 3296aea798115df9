"""Open models that do well as agents: for people who choose what to serve."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FAST_B = 13  # active parameters, up to which answers come while one watches
_PLAIN = re.compile(r"[^a-z0-9]+")


@cache
def _catalog() -> tuple[dict[str, Any], ...]:
    rows = yaml.safe_load((Path(__file__).parent / "recommended.yaml").read_text(encoding="utf-8"))
    return tuple(
        {
            **row,
            "instruct": True,
            "interactivity": "high" if row["active_params_b"] <= FAST_B else "medium",
            "rank": rank,
        }
        for rank, row in enumerate(rows, 1)
    )


def models_recommended(connected: Iterable[tuple[int, str]]) -> list[dict[str, Any]]:
    """Best first, each with the providers, given by id and model, that serve it already."""
    served = [(str(pk), _PLAIN.sub("", model.rpartition("/")[2].lower())) for pk, model in connected]
    return [
        {**row, "provider_ids": [pk for pk, model in served if model and _is(row["name"], model)]}
        for row in _catalog()
    ]


def _is(name: str, model: str) -> bool:
    """Servers add a precision or a date to a model's name."""
    return model.startswith(_PLAIN.sub("", name.lower()))
