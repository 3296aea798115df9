"""Persona files: the bundled team, what the loader refuses, and how a role is found by another name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings

from apps.agents.actions import REGISTRY
from apps.agents.models import Persona
from apps.agents.persona_services import personas_sync
from apps.agents.personas import PersonaFile, load_personas, role_resolve, roles_of
from apps.agents.skills import MAX_BYTES
from apps.core.errors import BadInput
from apps.events.models import Event

BUNDLED = Path(settings.BASE_DIR) / "personas"
TEAM = {
    "ceo",
    "cto",
    "cfo",
    "product-manager",
    "project-manager",
    "engineering-manager",
    "code-reviewer",
    "qa-engineer",
    "devops-engineer",
    "documentation-manager",
    "decision-maker",
    "web-designer",
    "web-designer-engineer",
    "public-relations-manager",
    "housekeeping-bot",
}
GOOD = """---
name: tester
description: Tests things. Use for tests.
metadata:
  role: tester
  aliases: "qa"
---
# Tester

Looks twice.
"""


@pytest.fixture(scope="module")
def team() -> list[PersonaFile]:
    return load_personas(BUNDLED)


def put(root: Path, text: str | bytes, *, name: str = "tester", file: str = "SKILL.md") -> Path:
    directory = root / "own" / name
    directory.mkdir(parents=True)
    path = directory / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_default_team_and_loom_are_valid(team: list[PersonaFile]) -> None:
    assert {persona.name for persona in team} == {f"default/{role}" for role in TEAM} | {"loom/loom"}
    assert {persona.role for persona in team} == TEAM | {"loom"}


def test_every_bundled_persona_says_title_level_specialties_and_when_to_use_it(
    team: list[PersonaFile],
) -> None:
    for persona in team:
        assert set(persona.metadata) == {
            "role",
            "title",
            "level",
            "autonomy",
            "specialties",
            "aliases",
            "actions",
        }
        assert len(persona.specialties) >= 3, persona.name
        assert "Use for" in persona.description, persona.name


def test_bundled_bodies_are_short_and_say_what_the_role_never_does(team: list[PersonaFile]) -> None:
    for persona in team:
        assert 15 <= persona.body.count("\n") + 1 <= 40, persona.name
        assert "never" in persona.body, persona.name


def test_bundled_personas_name_actions_that_exist(team: list[PersonaFile]) -> None:
    for persona in team:
        assert set(persona.actions) <= set(REGISTRY), persona.name


def test_no_bundled_alias_is_given_twice(team: list[PersonaFile]) -> None:
    words = Counter(word.replace("-", "") for persona in team for word in [persona.role, *persona.aliases])
    assert [word for word, count in words.items() if count > 1] == []


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("qa-engineer", "qa-engineer"),
        ("QA Engineer", "qa-engineer"),
        ("qa_engineer", "qa-engineer"),
        ("  Tester ", "qa-engineer"),
        ("backend-engineer", "engineering-manager"),
        ("Backend Developer", "engineering-manager"),
        ("fullstack_engineer", "engineering-manager"),
        ("Front-End Engineer", "web-designer-engineer"),
        ("SRE", "devops-engineer"),
        ("technical writer", "documentation-manager"),
        ("web designer", "web-designer"),
        ("pm", "project-manager"),
        ("Product Owner", "product-manager"),
    ],
)
def test_a_role_is_found_by_its_usual_names(team: list[PersonaFile], name: str, role: str) -> None:
    assert role_resolve(name, roles_of(team)) == role


@pytest.mark.parametrize(
    "name", ["", "  ", "engine", "qa-engineers-lead", "astronaut", "web", "-", "manager"]
)
def test_parts_of_names_and_unknown_names_are_no_role(team: list[PersonaFile], name: str) -> None:
    assert role_resolve(name, roles_of(team)) is None


def test_a_role_of_that_name_comes_before_an_alias() -> None:
    roles = {"zebra": ("qa",), "qa": ("zebra",)}
    assert role_resolve("QA", roles) == "qa"


def test_windows_line_ends_and_a_lower_case_file_name_are_read(tmp_path: Path) -> None:
    put(tmp_path, GOOD.replace("\n", "\r\n"), file="skill.md")
    (persona,) = load_personas(tmp_path)
    assert persona.name == "own/tester"
    assert persona.body == "# Tester\n\nLooks twice."
    assert persona.autonomy == "semi"


def test_all_scalars_are_strings_as_the_specification_says(tmp_path: Path) -> None:
    put(tmp_path, GOOD.replace('aliases: "qa"', "version: 1.10\n  active: yes"))
    (persona,) = load_personas(tmp_path)
    assert persona.metadata == {"role": "tester", "version": "1.10", "active": "yes"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xff\xfe\x00", "not UTF-8 (byte 0)"),
        ("# Tester", "must start with a line of three hyphens"),
        ("---\nname: tester\n", "does not end with a line of three hyphens"),
        (GOOD.split("# Tester", maxsplit=1)[0], "nothing stands below"),
        (GOOD.replace("Tests things.", "Tests: things."), "quote a value that holds a colon"),
        (GOOD.replace("metadata:", "author: me\nmetadata:"), "unknown field author"),
        (GOOD.replace("name: tester", "name: Tester"), "lower-case letters"),
        (GOOD.replace("name: tester", "name: te--ster"), "single hyphens"),
        (GOOD.replace("name: tester", "name: other"), "its directory is 'tester'"),
        (GOOD.replace("Tests things. Use for tests.", '""'), "description must have 1 to 1024"),
        (GOOD.replace("Tests things.", "x" * 1025), "description must have 1 to 1024"),
        (GOOD.replace('aliases: "qa"', "specialties: [a, b]"), "metadata.specialties must be one string"),
        (GOOD.replace("role: tester", "role: The Tester"), "'The Tester' must be lower-case words"),
        (GOOD.replace('"qa"', '"QA"'), "alias 'QA' must be lower-case"),
        (GOOD.replace('aliases: "qa"', "autonomy: total"), "one of full, semi, supervised"),
        (GOOD.replace("metadata:", "allowed-tools: [read]\nmetadata:"), "allowed-tools must be one string"),
        (GOOD.replace("metadata:\n  role: tester\n  aliases:", "metadata:"), "metadata must be fields"),
        (GOOD + "line\n" * 500, "longer than 500 lines"),
        (GOOD + "x" * MAX_BYTES, "larger than 64 KB"),
        ("---\n- a\n---\nbody\n", "must be fields with values"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, text: str | bytes, reason: str
) -> None:
    put(tmp_path, text)
    with pytest.raises(BadInput) as refusal:
        load_personas(tmp_path)
    assert "own/tester/SKILL.md: " in str(refusal.value)
    assert reason in str(refusal.value)


def test_all_wrong_files_are_named_at_once(tmp_path: Path) -> None:
    put(tmp_path, "no front matter", name="one")
    (tmp_path / "own" / "two").mkdir()
    put(tmp_path, GOOD)
    with pytest.raises(BadInput) as refusal:
        load_personas(tmp_path)
    problems = refusal.value.details["problems"]
    assert [problem.partition(":")[0] for problem in problems] == ["own/one/SKILL.md", "own/two/SKILL.md"]


def test_one_alias_cannot_mean_two_roles(tmp_path: Path) -> None:
    put(tmp_path, GOOD)
    put(tmp_path, GOOD.replace("tester", "checker").replace('"qa"', '"q-a"'), name="checker")
    with pytest.raises(BadInput, match="'qa' already means checker"):
        load_personas(tmp_path)


def test_an_alias_cannot_be_the_name_of_another_role(tmp_path: Path) -> None:
    put(tmp_path, GOOD.replace('"qa"', '"checker"'))
    put(tmp_path, GOOD.replace("tester", "checker").replace('"qa"', '"examiner"'), name="checker")
    with pytest.raises(BadInput, match="'checker' already means checker"):
        load_personas(tmp_path)


def test_a_missing_directory_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read: No such file or directory"):
        load_personas(tmp_path / "nothing")


@pytest.mark.django_db
def test_sync_adds_every_persona_once() -> None:
    assert personas_sync() == len(TEAM) + 1
    assert personas_sync() == 0
    assert set(Persona.objects.values_list("role", flat=True)) == TEAM | {"loom"}
    assert Event.objects.filter(kind="personas.synced").count() == 1


@pytest.mark.django_db
def test_sync_takes_over_a_changed_file_and_keeps_the_row(tmp_path: Path) -> None:
    path = put(tmp_path, GOOD)
    personas_sync(root=tmp_path)
    first = Persona.objects.get()
    path.write_text(GOOD.replace("Looks twice.", "Looks three times."))
    assert personas_sync(root=tmp_path) == 1
    again = Persona.objects.get()
    assert again.pk == first.pk
    assert again.body.endswith("Looks three times.")
    assert role_resolve("QA", roles_of(Persona.objects.all())) == "tester"


@pytest.mark.django_db
def test_a_wrong_file_stops_the_sync_before_anything_is_written(tmp_path: Path) -> None:
    put(tmp_path, GOOD)
    put(tmp_path, "wrong", name="other")
    with pytest.raises(BadInput):
        personas_sync(root=tmp_path)
    assert not Persona.objects.exists()
