"""Brings the persona files into the database."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import transaction

from apps.agents.models import Persona
from apps.agents.personas import load_personas
from apps.events.bus import emit


def personas_sync(*, root: Path | None = None) -> int:
    """Add new and changed persona files; how many. Rows without a file stay: agents may work as them."""
    personas = load_personas(root or settings.LOOM_PERSONAS_DIR)
    with transaction.atomic():
        known = dict(Persona.objects.values_list("name", "sha256"))
        changed = [persona for persona in personas if known.get(persona.name) != persona.sha256]
        for persona in changed:
            Persona.objects.update_or_create(
                name=persona.name,
                defaults={
                    "role": persona.role,
                    "description": persona.description,
                    "body": persona.body,
                    "metadata": persona.metadata,
                    "sha256": persona.sha256,
                },
            )
        if changed:
            emit("personas.synced", organization_id=None, names=[persona.name for persona in changed])
    return len(changed)
