"""Personas as files: reads and checks `personas/<group>/<name>/SKILL.md`, each a valid Agent Skill."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from apps.agents.replies.language import read_language
from apps.core.errors import BadInput

FILE_NAMES = ("SKILL.md", "skill.md")
MAX_BYTES = 64 * 1024
MAX_BODY_LINES = 500
MAX_DESCRIPTION = 1024
MAX_COMPATIBILITY = 500
MAX_NAME = 64
MAX_ROLE = 60  # the column's width
MAX_PERSONAS = 500
FIELDS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
AUTONOMY = ("full", "semi", "supervised")
WORDS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


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

    @property
    def autonomy(self) -> str:
        return self.metadata.get("autonomy", "semi")

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
    problems += _shared_names(found)
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
        text = raw.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _Problem(f"it is not UTF-8 (byte {error.start})") from error
    head, body = _split(text)
    fields = _front_matter(head)
    _check_fields(fields, directory.name)
    metadata = _metadata(fields.get("metadata", {}))
    role = metadata.get("role", directory.name)
    if not WORDS.fullmatch(role) or len(role) > MAX_ROLE:
        raise _Problem(f"the role {role!r} must be lower-case words with hyphens, at most {MAX_ROLE} long")
    if problems := read_language(body).problems:
        raise _Problem(f"its orchestration block is wrong below the front matter: {problems[0]}")
    if metadata.get("autonomy", "semi") not in AUTONOMY:
        raise _Problem(f"autonomy must be one of {', '.join(AUTONOMY)}, not {metadata['autonomy']!r}")
    return PersonaFile(
        name=f"{directory.parent.relative_to(root)}/{directory.name}",
        role=role,
        description=fields["description"].strip(),
        body=body,
        metadata=metadata,
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def _read(directory: Path) -> bytes:
    path = next((directory / name for name in FILE_NAMES if (directory / name).is_file()), None)
    if path is None:
        raise _Problem("the file is missing")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _Problem(f"it cannot be read ({error.strerror})") from error
    if len(raw) > MAX_BYTES:
        raise _Problem(f"it is larger than {MAX_BYTES // 1024} KB")
    return raw


def _split(text: str) -> tuple[str, str]:
    """Front matter and body."""
    if not text.startswith("---\n"):
        raise _Problem("it must start with a line of three hyphens, then YAML, then three hyphens")
    head, separator, body = text[4:].partition("\n---\n")
    if not separator:
        raise _Problem("its front matter does not end with a line of three hyphens")
    body = body.strip()
    if not body:
        raise _Problem("nothing stands below its front matter")
    if body.count("\n") >= MAX_BODY_LINES:
        raise _Problem(f"its body is longer than {MAX_BODY_LINES} lines")
    return head, body


def _front_matter(head: str) -> dict[str, Any]:
    try:
        # BaseLoader makes strings of all scalars, as the specification has it, and builds no objects.
        fields = yaml.load(head, Loader=yaml.BaseLoader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 2})" if mark else ""
        raise _Problem(f"its front matter is not YAML{where}; quote a value that holds a colon") from error
    if not isinstance(fields, dict):
        raise _Problem("its front matter must be fields with values")
    return fields


def _check_fields(fields: dict[str, Any], directory: str) -> None:
    if unknown := sorted(str(key) for key in set(fields) - FIELDS):
        raise _Problem(f"unknown field {', '.join(unknown)}; own data belongs under metadata")
    for key, value in fields.items():
        if key != "metadata" and not isinstance(value, str):
            raise _Problem(f"{key} must be one string")
    name = unicodedata.normalize("NFKC", fields.get("name", ""))
    if not WORDS.fullmatch(name) or len(name) > MAX_NAME:
        raise _Problem(f"name must be 1 to {MAX_NAME} lower-case letters, digits and single hyphens")
    if name != directory:
        raise _Problem(f"name is {name!r}, but its directory is {directory!r}")
    if not 1 <= len(fields.get("description", "").strip()) <= MAX_DESCRIPTION:
        raise _Problem(f"description must have 1 to {MAX_DESCRIPTION} characters")
    if "compatibility" in fields and not 1 <= len(fields["compatibility"]) <= MAX_COMPATIBILITY:
        raise _Problem(f"compatibility must have 1 to {MAX_COMPATIBILITY} characters")


def _metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise _Problem("metadata must be fields with values")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise _Problem(f'metadata.{key} must be one string, for example "first; second"')
    for alias in metadata.get("aliases", "").split():
        if not WORDS.fullmatch(alias):
            raise _Problem(f"the alias {alias!r} must be lower-case words joined by hyphens")
    return metadata


def _shared_names(personas: Iterable[PersonaFile]) -> list[str]:
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
