"""Replies as models write them, each with the actions that stand in it: built from forms, slips and cuts."""

from __future__ import annotations

from tests.agents.corpus.cases import Case
from tests.agents.corpus.cuts import cut_cases
from tests.agents.corpus.dialects import dialect_cases
from tests.agents.corpus.forms import form_cases
from tests.agents.corpus.mixtures import mixture_cases
from tests.agents.corpus.nasty import nasty_cases
from tests.agents.corpus.native import native_cases
from tests.agents.corpus.slips import slip_cases

__all__ = ["Case", "corpus"]


def corpus() -> list[Case]:
    return [
        *form_cases(), *dialect_cases(), *slip_cases(), *cut_cases(), *mixture_cases(), *native_cases(),
        *nasty_cases(),
    ]  # fmt: skip
