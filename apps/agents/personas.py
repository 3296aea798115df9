"""Personas as files: reads and checks `personas/<group>/<name>/SKILL.md`, each a valid Agent Skill."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from apps.agents.replies.language import read_language
from apps.agents.skills import (
    FIELDS,
    MAX_BODY_LINES,
    MAX_BYTES,
    MAX_COMPATIBILITY,
    MAX_DESCRIPTION,
    MAX_NAME,
    WORDS,
    SkillError,
    mapping_of,
    split,
    text_of,
)
from apps.core.errors import BadInput

FILE_NAMES = ("SKILL.md", "skill.md")
MAX_ROLE = 60  # the column's width
MAX_PERSONAS = 500
AUTONOMY = ("full", "semi", "supervised")


class HasRole(Protocol):
    """A PersonaFile or a row of the Persona table."""

    @property
    def role(self) -> str: ...
    @property
    def metadata(self) -> Any: ...


@dataclass(frozen=True)
class PersonaFile:
    name: str  # "<group>/<directory>"
    role: str
    description: str
    body: str
    metadata: dict[str, str]
    sha256: str  # of the whole file
    license: str = ""
    compatibility: str = ""
    allowed_tools: str = ""

    @property
    def autonomy(self) -> str:
        return self.metadata.get("autonomy") or self.metadata.get("autonomy_level") or "semi"

    @property
    def aliases(self) -> tuple[str, ...]:
        return tuple(self.metadata.get("aliases", "").split())

    @property
    def actions(self) -> tuple[str, ...]:
        """Actions this role may use beyond those that every role has."""
        return tuple(self.metadata.get("actions", "").split())

    @property
    def specialties(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.metadata.get("specialties", "").split(";") if part.strip())


class _Problem(Exception):
    """One reason why a file is refused."""


def load_personas(root: Path) -> list[PersonaFile]:
    """Every persona below `root`, by name. BadInput lists all files that are wrong, each with its reason."""
    found, problems = [], []
    try:
        directories = list(_persona_directories(root))
    except OSError as error:
        raise BadInput(f"The personas in {root} cannot be read: {error.strerror}.") from error
    if len(directories) > MAX_PERSONAS:
        raise BadInput(f"{root} holds {len(directories)} personas; at most {MAX_PERSONAS} are loaded.")
    for directory in directories:
        try:
            found.append(_load(directory, root))
        except _Problem as problem:
            problems.append(f"{directory.relative_to(root)}/SKILL.md: {problem}")
    problems += shared_names(found)
    if problems:
        raise BadInput(
            "Some personas are not valid: " + " ".join(f"{problem}." for problem in problems),
            hint="Correct these files; docs/configuration.md tells their format.",
            details={"problems": problems},
        )
    return found


def _persona_directories(root: Path) -> Iterator[Path]:
    for group in sorted(root.iterdir()):
        if group.is_dir() and not group.name.startswith("."):
            yield from (
                entry
                for entry in sorted(group.iterdir())
                if entry.is_dir() and not entry.name.startswith(".")
            )


def _load(directory: Path, root: Path) -> PersonaFile:
    raw = _read(directory)
    try:
        return persona_parse(raw, name=f"{directory.parent.relative_to(root)}/{directory.name}")
    except SkillError as error:
        raise _Problem(f"line {error.line}: {error.text}") from error


def persona_parse(raw: bytes, *, name: str) -> PersonaFile:
    """The persona of a file in the strict form; SkillError with the line of what is wrong."""
    head, body = split(text_of(raw))
    fields = mapping_of(head)
    _check_fields(fields, name.rpartition("/")[2])
    lines = raw.count(b"\n") + 1
    if not body:
        raise SkillError("nothing stands below its front matter", lines)
    if body.count("\n") >= MAX_BODY_LINES:
        raise SkillError(f"its body is longer than {MAX_BODY_LINES} lines", lines)
    metadata = _metadata(*fields.get("metadata", ({}, 2)))
    texts = {key: value.strip() for key, (value, _) in fields.items() if isinstance(value, str)}
    persona = PersonaFile(
        name=name,
        role=metadata.get("role", name.rpartition("/")[2]),
        description=texts["description"],
        body=body,
        metadata=metadata,
        sha256=hashlib.sha256(raw).hexdigest(),
        license=texts.get("license", ""),
        compatibility=texts.get("compatibility", ""),
        allowed_tools=texts.get("allowed-tools", ""),
    )
    persona_check(persona, line=fields.get("metadata", ({}, 2))[1])
    return persona


def persona_check(persona: PersonaFile, *, line: int = 2) -> None:
    """What a persona must be beyond a skill."""
    if not WORDS.fullmatch(persona.role) or len(persona.role) > MAX_ROLE:
        raise SkillError(
            f"the role {persona.role!r} must be lower-case words with hyphens, at most {MAX_ROLE} long", line
        )
    if persona.autonomy not in AUTONOMY:
        raise SkillError(f"autonomy must be one of {', '.join(AUTONOMY)}, not {persona.autonomy!r}", line)
    for alias in persona.aliases:
        if not WORDS.fullmatch(alias):
            raise SkillError(f"the alias {alias!r} must be lower-case words joined by hyphens", line)
    if problems := read_language(persona.body).problems:
        raise SkillError(f"its orchestration block is wrong below the front matter: {problems[0]}", line)


def _read(directory: Path) -> bytes:
    path = next((directory / name for name in FILE_NAMES if (directory / name).is_file()), None)
    if path is None:
        raise _Problem("the file is missing")
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _Problem(f"it cannot be read ({error.strerror})") from error


def _check_fields(fields: dict[str, tuple[Any, int]], directory: str) -> None:
    for key, (value, line) in fields.items():
        if key not in FIELDS:
            raise SkillError(f"unknown field {key}; own data belongs under metadata", line)
        if key != "metadata" and not isinstance(value, str):
            raise SkillError(f"{key} must be one string", line)
    name, line = fields.get("name", ("", 2))
    name = unicodedata.normalize("NFKC", name)
    if not WORDS.fullmatch(name) or len(name) > MAX_NAME:
        raise SkillError(f"name must be 1 to {MAX_NAME} lower-case letters, digits and single hyphens", line)
    if name != directory:
        raise SkillError(f"name is {name!r}, but its directory is {directory!r}", line)
    description, line = fields.get("description", ("", 2))
    if not 1 <= len(description.strip()) <= MAX_DESCRIPTION:
        raise SkillError(f"description must have 1 to {MAX_DESCRIPTION} characters", line)
    compatibility, line = fields.get("compatibility", ("any", 2))
    if not 1 <= len(compatibility) <= MAX_COMPATIBILITY:
        raise SkillError(f"compatibility must have 1 to {MAX_COMPATIBILITY} characters", line)


def _metadata(metadata: Any, line: int) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise SkillError("metadata must be fields with values", line)
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise SkillError(f'metadata.{key} must be one string, for example "first; second"', line)
    return metadata


def shared_names(personas: Iterable[PersonaFile]) -> list[str]:
    """Problems of names that would lead to two roles. One role may have a persona in several groups."""
    owners: dict[str, PersonaFile] = {}
    problems = []
    ordered = sorted(personas, key=lambda persona: persona.name)
    claims = [(persona, persona.role) for persona in ordered]
    claims += [(persona, alias) for persona in ordered for alias in persona.aliases]
    for persona, word in claims:
        owner = owners.setdefault(_folded(word), persona)
        if owner.role != persona.role:
            problems.append(f"{persona.name}/SKILL.md: {word!r} already means {owner.role} ({owner.name})")
    return problems


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", unicodedata.normalize("NFKC", name).casefold())


def roles_of(personas: Iterable[HasRole]) -> dict[str, tuple[str, ...]]:
    """Each role with its aliases, as `role_resolve` takes them."""
    roles: dict[str, tuple[str, ...]] = {}
    for persona in personas:
        aliases = str((persona.metadata or {}).get("aliases", "")).split()
        roles[persona.role] = tuple(dict.fromkeys([*roles.get(persona.role, ()), *aliases]))
    return roles


def role_resolve(name: str, roles: Mapping[str, Iterable[str]]) -> str | None:
    """The role that a model or a person means: by its name, else by an alias; None if there is none.

    Case, spaces, hyphens and underscores do not matter; parts of names never match.
    """
    wanted = _folded(name)
    if not wanted:
        return None
    for role in sorted(roles):
        if _folded(role) == wanted:
            return role
    return next((role for role in sorted(roles) if wanted in {_folded(alias) for alias in roles[role]}), None)
