"""Projects (one git repository each) and the numbered requirements of their PRD."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from apps.accounts.models import Organization, Role, User
from apps.core.models import Timestamped
from apps.core.prepared import Prepared
from apps.core.tenancy import share_codename, visible_to


class ProjectQuerySet(models.QuerySet["Project"]):
    def for_user(self, user: Any) -> ProjectQuerySet:
        return visible_to(user, self, "organization_id")

    def locked(self, project_id: int) -> Project:
        """The project with its row locked: one writer at a time of what its rows say together.

        Rows that point at it can be inserted meanwhile. A plain FOR UPDATE would wait for those too, and two
        transactions that each insert one and then lock would wait for each other.
        """
        for project in _LOCKED(project_id):
            return project
        raise Project.DoesNotExist(f"There is no project {project_id}.")

    def lock_ahead(self, project_id: int) -> None:
        """Ask ahead for what `locked` gives, before what is to be read once the row is locked."""
        _LOCKED.ahead(project_id)


_LOCKED: Prepared[Project] = Prepared(
    lambda pk: Project.objects.select_for_update(no_key=True).defer("prd").filter(pk=pk).order_by()
)
CHECK_KINDS = ("build", "lint", "test")  # in the order that they run


class Project(Timestamped):
    class Status(models.TextChoices):
        OPEN = "open"
        CLOSED = "closed"
        REOPENED = "reopened"

    class Approval(models.TextChoices):
        AUTO = "auto", "the decision-maker persona"
        ASK = "ask", "a person"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    bead_prefix = models.CharField(max_length=16, unique=True)
    bead_counter = models.PositiveIntegerField(default=0)
    branch = models.CharField(max_length=120, default="main")
    prd = models.TextField(blank=True)
    prd_sha256 = models.CharField(max_length=64, blank=True)
    approval = models.CharField(max_length=10, choices=Approval.choices, default=Approval.AUTO)
    max_sessions = models.PositiveSmallIntegerField(default=4)
    checks: models.JSONField[Any, Any] = models.JSONField(
        default=list, blank=True, help_text="Commands that prove a change; empty: detected from the files."
    )
    allow_network = models.BooleanField(default=False, help_text="Commands of agents may reach the network.")
    allow_install = models.BooleanField(
        default=False, help_text="Dependencies may be downloaded, in a step of their own."
    )
    is_perpetual = models.BooleanField(default=False)
    is_sticky = models.BooleanField(default=False)
    workflow = models.CharField(
        max_length=60, blank=True, help_text="Every bead goes through it; empty: chosen by type and labels."
    )
    out_dir = models.CharField(max_length=1000, blank=True)
    git_repo = models.CharField(
        max_length=500, blank=True, help_text="Address of the repository it belongs to, for people."
    )
    context: models.JSONField[Any, Any] = models.JSONField(
        default=dict, blank=True, help_text="Texts by name that clients keep with the project."
    )
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "slug"], name="project_slug_once"),
            models.CheckConstraint(condition=models.Q(max_sessions__gte=1), name="project_sessions_positive"),
        ]
        permissions = [
            (share_codename(Role.VIEWER), "May look at it, though of another organization"),
            (share_codename(Role.USER), "May work on it, though of another organization"),
        ]

    def __str__(self) -> str:
        return self.name


class ProjectUserShare(UserObjectPermissionBase):
    """A project that one person may look at or work on; the querysets' `for_user` read it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="project_shares")
    content_object = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="user_shares")


class ProjectGroupShare(GroupObjectPermissionBase):
    """The same for a group of people."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="project_shares")
    content_object = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="group_shares")


class Requirement(Timestamped):
    """One numbered statement of the PRD; the key is never given to another statement."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        REMOVED = "removed"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="requirements")
    key = models.CharField(max_length=12)
    section = models.CharField(max_length=200, blank=True)
    text = models.TextField()
    position = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)

    class Meta:
        ordering = ["project", "position"]
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="requirement_key_once")]

    def __str__(self) -> str:
        return f"{self.key} {self.text[:60]}"


class ProjectComment(models.Model):
    """What a person says about a project; kept as said."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    author_name = models.CharField(max_length=150)
    comment = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.author_name} on {self.project_id}"
