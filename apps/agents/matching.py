"""Who fits work that names no role: the persona whose capabilities its words speak of.

Words that few personas claim count for more. Of personas that fit alike, beads are spread evenly: nobody is
the owner of everything that is left.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from apps.agents.models import Persona
from apps.beads.models import Bead

CAN_BUILD = frozenset({"write_file", "edit_file", "run_tests", "run_linter"})
EXECUTIVE = "executive"
NOT_ASKED = frozenset({"loom"})  # works on Loom itself
# What a type of bead asks for, if its words say nothing.
TYPE_WORDS: Mapping[str, str] = {
    Bead.Type.TASK: "implementation",
    Bead.Type.FEATURE: "implementation software design",
    Bead.Type.STORY: "implementation software design",
    Bead.Type.BUG: "implementation tests",
    Bead.Type.CHORE: "implementation refactoring",
}
WORD = re.compile(r"[a-z0-9]+")
TITLE, TEXT, TYPE = 4.0, 1.0, 0.5  # how much a word counts, by where it stands


def roles_for(beads: Sequence[Bead], organization_id: int) -> dict[int, str]:
    """The role of each of these beads, by its id: its own, else the one that fits."""
    found = {bead.pk: bead.role for bead in beads if bead.role}
    if len(found) < len(beads):
        team = list(Persona.objects.for_organization(organization_id).defer("body"))
        found |= {bead.pk: role_for(bead, team) for bead in beads if not bead.role}
    return found


def role_for(bead: Bead, team: Iterable[Persona]) -> str:
    """The role of the builder who fits the bead best; empty if nobody builds."""
    skills = {persona.role: _skills(persona) for persona in team if _builds(persona)}
    if not skills:
        return ""
    spread = Counter(word for words in skills.values() for word in words)
    wanted = _wanted(bead)
    scores = {
        role: sum(weight / spread[word] for word, weight in wanted.items() if word in words)
        for role, words in skills.items()
    }
    best = max(scores.values())
    fitting = sorted(role for role, score in scores.items() if score >= best - 1e-9)
    return fitting[bead.pk % len(fitting)]


def _builds(persona: Persona) -> bool:
    metadata = persona.metadata or {}
    actions = set(str(metadata.get("actions", "")).split())
    is_builder = actions >= CAN_BUILD or not actions
    return is_builder and metadata.get("level") != EXECUTIVE and persona.role not in NOT_ASKED


def _skills(persona: Persona) -> set[str]:
    metadata = persona.metadata or {}
    said = " ".join(str(metadata.get(key, "")) for key in ("title", "aliases", "specialties"))
    return _words(f"{persona.role} {said}")


def _wanted(bead: Bead) -> dict[str, float]:
    """The bead's words and how much each counts."""
    wanted = dict.fromkeys(_words(TYPE_WORDS.get(bead.type, "implementation")), TYPE)
    wanted |= dict.fromkeys(_words(" ".join([bead.description, *_texts(bead.acceptance)])), TEXT)
    wanted |= dict.fromkeys(_words(" ".join([bead.title, *_texts(bead.labels)])), TITLE)
    return wanted


def _texts(items: Collection[object]) -> list[str]:
    return [str(item) for item in items or ()]


def _words(text: str) -> set[str]:
    """Words without their endings of plural."""
    return {word.removesuffix("s") if len(word) > 3 else word for word in WORD.findall(text.lower())}
