from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django import Settings

from apps.accounts.services import organization_ensure
from apps.engine import doorbell
from apps.motivations.conditions import CONDITIONS
from apps.motivations.models import Motivation
from apps.motivations.services import motivation_create
from apps.projects.models import Project
from apps.projects.services import project_create

Make = Callable[..., Motivation]


@pytest.fixture(autouse=True)
def quiet_house(settings: Settings) -> Iterator[None]:
    """Nobody works on beads that become ready."""
    settings.LOOM_MAX_SESSIONS = 0
    doorbell.use(lambda _: None)
    yield
    doorbell.use(None)


@pytest.fixture
def project(transactional_db: None) -> Project:
    return project_create(organization=organization_ensure(name="Mill"), name="Wheel")


@pytest.fixture
def make(project: Project) -> Make:
    """A motivation of the project that makes beads, without a cooldown."""

    def build(condition: str, **fields: Any) -> Motivation:
        fields = {"name": condition, "cooldown_minutes": 0, "create_bead": True, **fields}
        return motivation_create(
            organization=project.organization,
            type=CONDITIONS[condition].type,
            condition=condition,
            **{"project": project, **fields},
        )

    return build
