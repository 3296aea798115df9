"""Beads without a role find who fits them, by what the personas say they can."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.matching import role_for
from apps.agents.models import Persona
from apps.agents.personas import load_personas
from apps.beads.models import Bead

TEAM = [
    Persona(name=one.name, role=one.role, metadata=one.metadata)
    for one in load_personas(Path(__file__).parents[2] / "personas")
]


def bead(title: str, number: int = 1, **fields: object) -> Bead:
    return Bead(pk=number, title=title, **fields)


@pytest.mark.parametrize(
    ("title", "role"),
    [
        ("Accessibility of the front-end components", "web-designer-engineer"),
        ("Visual hierarchy of the start page", "web-designer"),
        ("Continuous integration for pull requests", "devops-engineer"),
        ("A guide and a reference with examples", "documentation-manager"),
        ("Regression tests for edge cases", "qa-engineer"),
        ("Remove dead code and flaky tests", "housekeeping-bot"),
        ("Refactoring of the database access", "engineering-manager"),
        ("Add subtraction", "engineering-manager"),
    ],
)
def test_words_of_a_bead_lead_to_who_claims_them(title: str, role: str) -> None:
    assert role_for(bead(title), TEAM) == role


def test_labels_and_description_count_too() -> None:
    assert role_for(bead("Look at it", labels=["ux"]), TEAM) == "web-designer"
    assert role_for(bead("Look at it", description="The packaging fails."), TEAM) == "devops-engineer"


def test_nobody_is_the_owner_of_what_fits_several_alike() -> None:
    metadata = {"actions": "write_file edit_file run_tests run_linter", "specialties": "implementation"}
    team = [Persona(name=f"own/{role}", role=role, metadata=metadata) for role in ("red", "green", "blue")]
    taken = [role_for(bead("Something", number), team) for number in range(30)]
    assert {role: taken.count(role) for role in taken} == {"red": 10, "green": 10, "blue": 10}


def test_executives_and_those_who_only_read_are_not_asked() -> None:
    reader = Persona(name="own/reader", role="reader", metadata={"actions": "read_file decide"})
    chief = Persona(
        name="own/chief",
        role="chief",
        metadata={"level": "executive", "actions": "write_file edit_file run_tests"},
    )
    assert role_for(bead("Read, chief"), [reader, chief]) == ""
    assert role_for(bead("Anything at all"), [reader, chief, *TEAM]) not in {"reader", "chief", "ceo", "cto"}
