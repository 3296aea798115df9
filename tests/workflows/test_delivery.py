"""The product goes where it was asked for, once, and never counts as there because another's is."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from pytest_django import Settings

from apps.accounts.services import organization_ensure
from apps.core.errors import Conflict
from apps.engine.flow import Handle
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.workflows.prd_flow import deliver, repository_open

pytestmark = pytest.mark.django_db
NO_HANDLE = cast(Handle, None)  # these two calls do not look at theirs


def built(name: str, out: Path) -> Project:
    organization = organization_ensure(name=name)
    project = project_create(organization=organization, name=name, prd=f"# {name}\n", out_dir=str(out))
    repository_open(NO_HANDLE, project.pk)
    return project


def test_another_product_in_the_place_is_neither_overwritten_nor_taken_for_ones_own(
    tmp_path: Path, settings: Settings
) -> None:
    settings.LOOM_DATA_DIR = tmp_path / "loom"
    out = tmp_path / "out"
    first, second = built("First", out), built("Second", out)

    delivered = deliver(NO_HANDLE, first.pk)
    assert deliver(NO_HANDLE, first.pk) == delivered, "a step that is repeated after a crash"
    with pytest.raises(Conflict, match="is not empty"):
        deliver(NO_HANDLE, second.pk)

    assert (out / "plans" / "SOURCE.md").read_text() == "# First\n"
