"""Writes to personas: shipped files are taken over, organizations change and add their own, with history."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Organization
from apps.agents.models import Agent, Persona, PersonaVersion
from apps.agents.personas import (
    MAX_ROLE,
    PersonaFile,
    load_personas,
    persona_parse,
    shared_names,
)
from apps.agents.skills import (
    WORDS,
    Skill,
    SkillError,
    metadata_mend,
    name_mend,
    skill_mend,
    skill_read,
    skill_write,
)
from apps.core.errors import BadInput, Conflict, NotFound
from apps.events.bus import emit

SHIPPED_BY = "loom"
NAME_CHARS = 120
# Parts of addresses below a persona's own.
RESERVED = frozenset({"clone", "diff", "restore", "skill", "versions"})


def personas_sync(*, root: Path | None = None) -> int:
    """Add new and changed persona files; how many. Rows without a file stay: agents may work as them."""
    personas = load_personas(root or settings.LOOM_PERSONAS_DIR)
    with transaction.atomic():
        known = dict(Persona.objects.filter(organization=None).values_list("name", "sha256"))
        changed = [persona for persona in personas if known.get(persona.name) != persona.sha256]
        for persona in changed:
            row, _ = Persona.objects.update_or_create(
                name=persona.name, organization=None, defaults=_columns(persona)
            )
            _version_add(row, author=SHIPPED_BY, note="As shipped.")
        if changed:
            emit("personas.synced", organization_id=None, names=[persona.name for persona in changed])
    return len(changed)


def _columns(persona: PersonaFile) -> dict[str, Any]:
    return {
        "role": persona.role,
        "description": persona.description,
        "body": persona.body,
        "metadata": persona.metadata,
        "license": persona.license,
        "compatibility": persona.compatibility,
        "allowed_tools": persona.allowed_tools,
        "sha256": persona.sha256,
    }


def persona_text(persona: Persona | PersonaFile) -> str:
    """The persona as a strict SKILL.md."""
    return skill_write(
        Skill(
            name=persona.name.rpartition("/")[2],
            description=persona.description,
            body=persona.body,
            license=persona.license,
            compatibility=persona.compatibility,
            allowed_tools=persona.allowed_tools,
            metadata=persona.metadata or {},
        )
    )


def _version_add(row: Persona, *, author: str, note: str = "") -> PersonaVersion:
    newest = row.versions.order_by("-number").values_list("number", flat=True).first() or 0
    return PersonaVersion.objects.create(
        persona=row, number=newest + 1, text=persona_text(row), author=author[:150], note=note[:200]
    )


# -- what an organization keeps --------------------------------------------------------------------


@transaction.atomic
def persona_keep(
    *, organization: Organization, name: str, skill: Skill, author: str, note: str = ""
) -> Persona:
    """The organization's own persona of that name as `skill` says; a new version if that changes anything.

    One that is named like a shipped one takes its place there, and its agents work as it from their next
    session on.
    """
    file = _persona_of(_name_checked(name), skill)
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    shipped = Persona.objects.filter(name=file.name, organization=None).first()
    row = Persona.objects.filter(name=file.name, organization=organization).first()
    _check_words(organization, file)
    _check_role(row or shipped, organization, file.role)
    if row is not None and row.sha256 == file.sha256:
        return row
    if row is None:
        row = Persona.objects.create(name=file.name, organization=organization, **_columns(file))
        if shipped is not None:
            _take_place(row, shipped, organization)
    else:
        Persona.objects.filter(pk=row.pk).update(**_columns(file), updated_at=timezone.now())
        row.refresh_from_db()
    version = _version_add(row, author=author, note=note)
    emit(
        "persona.saved",
        organization_id=organization.pk,
        subject=f"persona:{row.name}"[:120],
        actor=author,
        names=[row.name],
        version=version.number,
    )
    return row


def _take_place(row: Persona, shipped: Persona, organization: Organization) -> None:
    PersonaVersion.objects.create(
        persona=row, number=1, text=persona_text(shipped), author=SHIPPED_BY, note="As shipped."
    )
    theirs = Agent.objects.filter(persona=shipped, project__organization=organization)
    theirs.update(persona=row, updated_at=timezone.now())


def _persona_of(name: str, skill: Skill) -> PersonaFile:
    metadata = {key: value for key, value in skill.metadata.items() if value}
    if "autonomy_level" in metadata:
        metadata["autonomy"] = metadata.pop("autonomy_level")
    role = metadata.get("role") or name.rpartition("/")[2]
    if not WORDS.fullmatch(role):
        metadata.setdefault("title", role)
        role = name_mend(role)
    metadata["role"] = role[:MAX_ROLE].strip("-")
    if aliases := metadata.get("aliases"):
        words = aliases.split(";") if ";" in aliases else aliases.split()
        metadata["aliases"] = " ".join(filter(None, map(name_mend, words)))
    text = skill_write(replace(skill, name=name.rpartition("/")[2], metadata=metadata))
    return persona_parse(text.encode(), name=name)


def _name_checked(name: str) -> str:
    name = name.strip().strip("/")
    parts = name.split("/")
    if len(parts) == 1:
        parts = ["default", name]
    if len("/".join(parts)) > NAME_CHARS or not all(WORDS.fullmatch(part) for part in parts):
        raise BadInput(
            f"{name[:80]!r} is no name for a persona.",
            hint="Use <group>/<name> of lower-case letters, digits and single hyphens.",
        )
    if parts[-1] in RESERVED:
        raise BadInput(f"A persona cannot be called {parts[-1]!r}.")
    return "/".join(parts)


def _check_words(organization: Organization, file: PersonaFile) -> None:
    others = Persona.objects.for_organization(organization.pk).exclude(name=file.name).defer("body")
    known = [
        replace(file, name=row.name, role=row.role, metadata=row.metadata or {}, body="") for row in others
    ]
    if problems := shared_names([*known, file]):
        raise Conflict(
            f"A name would lead to two roles: {problems[0]}.",
            hint="Change the role or the aliases.",
            details={"problems": problems},
        )


def _check_role(row: Persona | None, organization: Organization, role: str) -> None:
    if row is None or row.role == role:
        return
    theirs = Agent.objects.filter(persona=row, project__organization=organization)
    if theirs.exists():
        raise Conflict(
            f"Agents work as {row.name}, so its role stays {row.role}.", hint="Clone it under another name."
        )


@transaction.atomic
def persona_import(
    *,
    organization: Organization,
    name: str = "",
    text: str = "",
    changes: Mapping[str, Any] | None = None,
    author: str,
    note: str = "",
    is_new: bool = False,
) -> tuple[Persona, tuple[str, ...]]:
    """An own persona from a file that may be bent, or from fields; with what had to be mended.

    The name is the given one, or the file's in the group "own". Conflict if `is_new` and there is one.
    """
    if text:
        skill = skill_read(text, name=name)
    else:
        said = {key: str(value) for key, value in (changes or {}).items() if key != "metadata"}
        texts = {**said, "name": name.rpartition("/")[2], "allowed-tools": said.get("allowed_tools", "")}
        skill = skill_mend(
            texts, metadata_mend((changes or {}).get("metadata")), said.get("body", ""), name=name
        )
    wanted = _name_checked(name or f"own/{skill.name}")
    if is_new and Persona.objects.for_organization(organization.pk).filter(name=wanted).exists():
        raise Conflict(f"There is a persona {wanted} already.", hint="Change that one, or clone it.")
    try:
        kept = persona_keep(
            organization=organization, name=wanted, skill=skill, author=author, note=note or "Imported."
        )
    except SkillError as error:
        raise SkillError(error.text, _line_in(text, error)) from None
    return kept, skill.warnings


def persona_preview(*, name: str, text: str) -> tuple[PersonaFile, tuple[str, ...]]:
    """What a file would become, and what has to be mended for that; SkillError says where it is wrong."""
    skill = skill_read(text, name=name)
    try:
        return _persona_of(_name_checked(name), skill), skill.warnings
    except SkillError as error:
        raise SkillError(error.text, _line_in(text, error)) from None


def _line_in(text: str, error: SkillError) -> int:
    """Where the given file holds what the strict form of it was refused for."""
    quoted = re.findall(r"'([^']+)'", error.text)
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if quoted and quoted[-1] in line), error.line)


# -- the ways to change one -------------------------------------------------------------------------


def persona_edit(
    *,
    persona: Persona,
    organization: Organization,
    changes: Mapping[str, Any],
    author: str,
    note: str = "",
) -> Persona:
    """Change some of it: description, body, license, compatibility, allowed_tools, metadata (by key).

    A shipped persona stays as it is; the organization gets its own of that name.
    """
    skill = _changed(persona, changes)
    return persona_keep(organization=organization, name=persona.name, skill=skill, author=author, note=note)


def _changed(persona: Persona, changes: Mapping[str, Any]) -> Skill:
    metadata = {**(persona.metadata or {}), **metadata_mend(changes.get("metadata") or {})}
    said = {key: str(value) for key, value in changes.items() if key != "metadata" and value is not None}
    texts = {
        "name": persona.name.rpartition("/")[2],
        "description": said.get("description", persona.description),
        "license": said.get("license", persona.license),
        "compatibility": said.get("compatibility", persona.compatibility),
        "allowed-tools": said.get("allowed_tools", persona.allowed_tools),
    }
    if not texts["description"].strip():
        raise BadInput("A persona needs a description.", details={"field": "description"})
    return skill_mend(texts, metadata, said.get("body", persona.body))


@transaction.atomic
def persona_clone(
    *,
    persona: Persona,
    organization: Organization,
    name: str,
    author: str,
    changes: Mapping[str, Any] | None = None,
) -> Persona:
    """Another persona that begins as this one; of another role it answers to none of its other names."""
    name = _name_checked(name)
    if Persona.objects.for_organization(organization.pk).filter(name=name).exists():
        raise Conflict(f"There is a persona {name} already.", hint="Choose another name, or edit that one.")
    skill = _changed(persona, changes or {})
    if skill.metadata.get("role", persona.role) != persona.role:
        kept = {key: value for key, value in skill.metadata.items() if key != "aliases"}
        skill = replace(skill, metadata=kept)
    else:
        skill = replace(skill, metadata={**skill.metadata, "role": persona.role})
    return persona_keep(
        organization=organization, name=name, skill=skill, author=author, note=f"Cloned from {persona.name}."
    )


def persona_restore(*, persona: Persona, organization: Organization, number: int, author: str) -> Persona:
    """Let an old version be the newest again."""
    version = persona.versions.filter(number=number).first()
    if version is None:
        raise NotFound(f"{persona.name} has no version {number}.")
    file = persona_parse(version.text.encode(), name=persona.name)
    skill = Skill(
        name=file.name.rpartition("/")[2],
        description=file.description,
        body=file.body,
        license=file.license,
        compatibility=file.compatibility,
        allowed_tools=file.allowed_tools,
        metadata=file.metadata,
    )
    return persona_keep(
        organization=organization,
        name=persona.name,
        skill=skill,
        author=author,
        note=f"Version {number} again.",
    )


@transaction.atomic
def persona_remove(*, persona: Persona, author: str) -> None:
    """Give an organization's own persona up; agents go back to the shipped one of its name."""
    if persona.organization_id is None:
        raise Conflict(f"{persona.name} is shipped with Loom.", hint="Edit it: you get your own.")
    Organization.objects.select_for_update(no_key=True).get(pk=persona.organization_id)
    shipped = Persona.objects.filter(name=persona.name, organization=None).first()
    agents = Agent.objects.filter(persona=persona)
    if shipped is not None:
        agents.update(persona=shipped, updated_at=timezone.now())
    elif agents.exists():
        raise Conflict(f"Agents work or worked as {persona.name}, so it stays.", hint="Edit it instead.")
    Persona.objects.filter(pk=persona.pk).delete()
    emit(
        "persona.removed",
        organization_id=persona.organization_id,
        subject=f"persona:{persona.name}"[:120],
        actor=author,
        names=[persona.name],
    )
