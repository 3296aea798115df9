"""Who there is to work: personas with their history, and the org chart of a project."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from apps.accounts.models import Organization
from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project

FACES = ("mission", "character", "tone")  # of the original's personas; they are told with the body


class PersonaQuerySet(models.QuerySet["Persona"]):
    def for_user(self, user: Any) -> PersonaQuerySet:
        """Those that are shipped, and the own ones of the user's organizations."""
        if not user.is_active:
            return self.none()
        own = visible_to(user, Persona.objects.exclude(organization=None), "organization_id")
        return self.filter(Q(organization=None) | Q(pk__in=own.values("pk")))

    def for_organization(self, organization_id: int | None) -> PersonaQuerySet:
        """Those that work there: its own, and the shipped ones that none of its own takes the place of."""
        if organization_id is None:
            return self.filter(organization=None)
        shadowed = Persona.objects.filter(organization_id=organization_id).values("name")
        return self.filter(
            Q(organization_id=organization_id) | (Q(organization=None) & ~Q(name__in=shadowed))
        )


class Persona(Timestamped):
    """A role: shipped as `personas/<group>/<name>/SKILL.md`, or an organization's own."""

    name = models.CharField(max_length=120, help_text="<group>/<name>")
    organization = models.ForeignKey(
        Organization,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="personas",
        help_text="Empty: shipped with Loom, for all.",
    )
    role = models.CharField(max_length=60, db_index=True)
    description = models.TextField()
    body = models.TextField()
    license = models.CharField(max_length=200, blank=True)
    compatibility = models.CharField(max_length=500, blank=True)
    allowed_tools = models.TextField(blank=True)
    metadata: models.JSONField[Any, Any] = models.JSONField(default=dict)
    sha256 = models.CharField(max_length=64)

    objects = PersonaQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(organization=None), name="persona_shipped_once"
            ),
            models.UniqueConstraint(fields=["organization", "name"], name="persona_own_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def instructions(self) -> str:
        """The body, and below it what the metadata says of its character."""
        said = [f"{face.capitalize()}: {self.metadata[face]}" for face in FACES if self.metadata.get(face)]
        return "\n".join([self.body, *(["", *said] if said else [])])


class PersonaVersion(models.Model):
    """What a persona said at a time; the newest is what it says now."""

    persona = models.ForeignKey(Persona, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    text = models.TextField(help_text="The whole SKILL.md.")
    author = models.CharField(max_length=150)
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["persona", "-number"]
        constraints = [models.UniqueConstraint(fields=["persona", "number"], name="persona_version_once")]

    def __str__(self) -> str:
        return f"{self.persona} version {self.number}"


class OrgChart(Timestamped):
    """Who there is in a project and who reports to whom; a project without one has the default team's."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="org_chart")
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["project"]

    def __str__(self) -> str:
        return self.name


class Position(Timestamped):
    """A place for agents of one role."""

    chart = models.ForeignKey(OrgChart, on_delete=models.CASCADE, related_name="positions")
    role_name = models.CharField(max_length=60)
    persona_path = models.CharField(
        max_length=120, blank=True, help_text="The persona of new agents here; empty: that of the role."
    )
    required = models.BooleanField(default=False)
    max_instances = models.PositiveSmallIntegerField(
        default=0, help_text="How many work at once; 0: as many as the project allows."
    )
    reports_to = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="reports"
    )

    class Meta:
        ordering = ["chart", "id"]
        constraints = [
            models.UniqueConstraint(fields=["chart", "role_name"], name="position_role_once"),
            models.CheckConstraint(
                condition=~Q(reports_to=models.F("id")), name="position_reports_to_others"
            ),
        ]

    def __str__(self) -> str:
        return self.role_name
