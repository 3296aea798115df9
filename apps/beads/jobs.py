"""Short jobs about beads that people watch on the pages of django-rq."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.utils import timezone

from apps.beads.interchange import beads_write
from apps.beads.models import Bead
from apps.core.errors import NotFound
from apps.projects.models import Project


def beads_export(project_id: int) -> str:
    """Write the project's beads as JSON lines below LOOM_DATA_DIR/exports; what was written where."""
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFound(f"There is no project {project_id}.")
    # No names: staff of all organizations see the queues.
    moment = timezone.now().strftime("%Y%m%dT%H%M%S%f")
    path = Path(settings.LOOM_DATA_DIR) / "exports" / f"project-{project.pk}-{moment}.jsonl"
    count = beads_write(Bead.objects.filter(project=project), path)
    return f"{count} beads in {path}"
