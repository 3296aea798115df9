"""A project to put beads into, without anybody who starts to work on them."""

from __future__ import annotations

import pytest

from apps.accounts.services import organization_ensure
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.silence import nobody_reacts

__all__ = ["nobody_reacts"]


@pytest.fixture
def project(db: None) -> Project:
    return project_create(organization=organization_ensure(name="acme"), name="Links")
