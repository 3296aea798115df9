"""What an agent is told when it works with a person, and what it may do in their name."""

from __future__ import annotations

from typing import Any

from apps.accounts.models import User
from apps.accounts.permissions import permission_holds
from apps.agents.codemap import code_map
from apps.agents.hub import Hub
from apps.agents.models import Agent
from apps.agents.prompts import HISTORY, READING, RUNNING, WRITING
from apps.agents.replies.language import strip
from apps.beads.models import Bead
from apps.projects.models import Project

SYSTEM = """\
You are {name}, the {role} of a team that builds a product together. {description}

{body}

You work side by side with a person, about one piece of work:
- What you write as plain text is what the person reads; a reply without actions ends your turn.
- Act when you are asked to, and only as far as that goes. If it is not clear what is wanted, ask.
- You have a worktree of your own; nobody else sees it until the person claims the change. Then the \
project's checks run on a clean checkout, a colleague reviews it, and it is merged.
- You may do what the person may do: only the actions offered to you.
- Paths are relative to the root of the repository. Commands run in a sandbox.
- Never weaken, skip or delete a test to make a check pass.
"""
# What an action needs of the person in whose name it is taken.
NEEDS: dict[str, tuple[str, ...]] = {
    "projects:read": (*READING, *HISTORY),
    "beads:write": (*WRITING, *RUNNING, "create_bead", "delegate"),
    "conversations:write": ("send_message", "remember"),
}


def actions_of(person: User, project: Project) -> list[str]:
    """The actions that an agent may take for this person."""
    return [
        action
        for permission, actions in NEEDS.items()
        if permission_holds(person, permission, project.organization_id, project.pk)
        for action in actions
    ]


def opening_of(agent: Agent, project: Project, bead: Bead, hub: Hub, commit: str) -> list[dict[str, Any]]:
    """The two messages that stay pinned. Reads git."""
    persona = agent.persona
    system = SYSTEM.format(
        name=agent.name,
        role=persona.role,
        description=persona.description,
        body=strip(persona.instructions).strip(),
    )
    files = hub.files(commit)
    code = code_map(files, lambda path: hub.read(commit, path))
    acceptance = "\n".join(f"- {item}" for item in bead.acceptance) or "(none)"
    task = f"""# Task: pair
Title: {bead.title}

Bead: {bead.key} ({bead.type}, priority {bead.priority}, {bead.status})

{bead.description.strip() or "(no description)"}

## Acceptance criteria
{acceptance}

## The code: files, and what the main ones define
{code or "(the repository is empty)"}
"""
    return [{"role": "system", "content": system}, {"role": "user", "content": task}]
