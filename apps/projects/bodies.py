"""What the API says of projects: a page of them in three queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from apps.projects.models import Project, ProjectComment

COLUMNS = (
    "id", "organization_id", "name", "slug", "status", "bead_prefix", "branch", "git_repo", "context",
    "approval", "max_sessions", "checks", "allow_network", "allow_install", "is_perpetual", "is_sticky",
    "workflow", "created_at", "updated_at", "closed_at",
)  # fmt: skip
SHOWN_COMMENTS = 100  # of one project, the newest


def project_rows(projects: QuerySet[Project]) -> QuerySet[Project, dict[str, Any]]:
    rows: QuerySet[Project, dict[str, Any]] = projects.values(*COLUMNS)
    return rows


def project_bodies(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = list(rows)
    ids = [row["id"] for row in rows]
    agents: defaultdict[int, list[str]] = defaultdict(list)
    teams = Project.objects.filter(pk__in=ids, agents__isnull=False).order_by("agents__id")
    for project_id, agent_id in teams.values_list("pk", "agents__id"):
        agents[project_id].append(str(agent_id))
    comments: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for comment in ProjectComment.objects.filter(project__in=ids):
        comments[comment.project_id].append(project_comment_body(comment))
    return [
        {
            **row,
            "id": str(row["id"]),
            "organization_id": str(row["organization_id"]),
            "beads_path": "",  # beads are in the database
            "git_strategy": "direct",
            "git_auth_method": "none",
            "agents": agents[row["id"]],
            "comments": comments[row["id"]][-SHOWN_COMMENTS:],
        }
        for row in rows
    ]


def project_body(project_id: int) -> dict[str, Any]:
    return project_bodies(project_rows(Project.objects.filter(pk=project_id)))[0]


def project_comment_body(comment: ProjectComment) -> dict[str, Any]:
    return {
        "id": str(comment.pk),
        "project_id": str(comment.project_id),
        "author_id": str(comment.author_id or ""),
        "author_username": comment.author_name,
        "comment": comment.comment,
        "timestamp": comment.created_at,
    }
