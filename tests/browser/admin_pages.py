"""Pages of the admin that browsers visit."""

from __future__ import annotations

MAIN = [
    "/admin/",
    "/admin/beads/bead/",
    "/admin/engine/run/1/change/",
    "/admin/engine/run/machinery/",
    "/admin/projects/project/add/",
    "/queues/",
]
ADMIN = [
    *MAIN,
    "/installation/",
    "/admin/engine/run/",
    "/admin/beads/bead/2/change/",
    "/admin/agents/session/",
    "/admin/accounts/user/1/change/",
    "/admin/django_celery_beat/periodictask/",
    "/queues/queues/0/",
    "/queues/queues/0/failed/",
]
