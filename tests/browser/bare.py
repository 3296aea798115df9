"""An organization at its very beginning: a project without a plan, and one with a bead nobody has touched."""

from __future__ import annotations

from apps.accounts.models import Organization
from apps.accounts.services import organization_ensure
from apps.beads.services import bead_create
from apps.projects.services import project_create

PARTS = ["", "board/", "beads/", "graph/", "requirements/", "settings/", "lessons/", "team/"]


def bare_build() -> Organization:
    organization = organization_ensure(name="begun")
    project_create(organization=organization, name="Fresh")
    project = project_create(organization=organization, name="Untouched")
    bead_create(project=project, title="Say hello")
    return organization


def bare_pages(organization: Organization) -> list[str]:
    """Pages on which next to nothing has happened yet."""
    fresh, untouched = organization.projects.order_by("pk")
    bead = untouched.beads.get()
    return [
        "/",
        "/overview/",
        "/agents/",
        f"/pair/?project={fresh.pk}",
        *(f"/projects/{fresh.pk}/{name}" for name in PARTS),
        f"/beads/{bead.key}/",
        f"/beads/{bead.key}/changes/",
        f"/beads/{bead.key}/evidence/",
    ]
