"""Organizations (tenants), the people in them, and what they show to be let in."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, Group, UserManager
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession, BaseSessionManager
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from apps.core.models import Timestamped
from apps.core.tenancy import EVERYTHING, access_of, visible_to


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def for_user(self, user: Any) -> OrganizationQuerySet:
        return visible_to(user, self, "pk")


class Organization(Timestamped):
    """A tenant: nothing of it is visible to another."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60, unique=True)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class UserQuerySet(models.QuerySet["User"]):
    def for_user(self, user: Any) -> UserQuerySet:
        """Colleagues: the people of the user's organizations, without superusers who are in none of them."""
        if user.is_superuser and access_of(user).organization_id is None:
            return self
        mine = Membership.objects.for_user(user)
        return self.filter(pk__in=mine.values("user_id"))


class People(UserManager["User"]):
    use_in_migrations = False

    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def for_user(self, user: Any) -> UserQuerySet:
        return self.get_queryset().for_user(user)


class User(AbstractUser):
    """A person or a service account."""

    access = EVERYTHING  # of this object, where it came from a request: how far its credential reaches
    updated_at = models.DateTimeField(auto_now=True)
    pending_email = models.EmailField(blank=True, help_text="Asked for; in force once it is confirmed.")

    objects: ClassVar[People] = People()


class Role(models.TextChoices):
    ADMIN = "admin"
    USER = "user"
    VIEWER = "viewer"
    SERVICE = "service"


class TenantQuerySet(models.QuerySet[Any]):
    """Rows with an organization of their own."""

    def for_user(self, user: Any) -> Any:
        return visible_to(user, self, "organization_id")


class Membership(Timestamped):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.USER)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "organization"], name="membership_once"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization} ({self.role})"


class PeopleGroup(Timestamped):
    """Some people of an organization under one name, to share projects with; its members are the group's."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="people_groups")
    name = models.CharField(max_length=80)
    group = models.OneToOneField(Group, on_delete=models.CASCADE, related_name="people")

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="people_group_once")]

    def __str__(self) -> str:
        return self.name


class LoginQuerySet(models.QuerySet["Login"]):
    def valid(self) -> LoginQuerySet:
        return self.filter(ended_at=None, expires_at__gt=timezone.now(), user__is_active=True)


class Login(models.Model):
    """One login of a program: all tokens that were made from it by refreshing, and end with it.

    `rotation` numbers its refresh tokens; only the newest is good, and an older one ends the login: somebody
    else has a copy.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="logins")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True)
    rotation = models.PositiveIntegerField(default=0)
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    refreshed_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=40, blank=True)

    objects = LoginQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.user}, {self.created_at:%Y-%m-%d %H:%M}"


class BrowserSessions(BaseSessionManager["BrowserSession"]):
    def alive(self, user: Any) -> models.QuerySet[BrowserSession]:
        """In which the person is signed in, the one used last first."""
        return self.filter(user=user, expire_date__gt=timezone.now()).order_by("-used_at")


class BrowserSession(AbstractBaseSession):
    """What Django keeps of a browser; its key is what the browser shows, and is told to nobody else."""

    # Without a constraint: a session is also saved whose account is gone.
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, null=True, related_name="browser_sessions", db_constraint=False
    )
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    used_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[BrowserSessions] = BrowserSessions()

    class Meta:
        verbose_name = "browser session"

    def __str__(self) -> str:
        return f"{self.user}, {self.used_at:%Y-%m-%d %H:%M}"

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        # Read while the registry of models is still being filled.
        from apps.accounts.sessions import SessionStore  # noqa: PLC0415

        return SessionStore

    @property
    def mark(self) -> str:
        """By which its owner names it, without telling its key."""
        return salted_hmac("loom.browser-session", self.session_key).hexdigest()[:32]


class ApiKeyQuerySet(TenantQuerySet):
    def valid(self) -> Any:
        alive = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.filter(alive, revoked_at=None, user__is_active=True)


class ApiKey(Timestamped):
    """A program's key to one organization, or to one project of it; shown once, kept as a hash."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="api_keys")
    project_id = models.BigIntegerField(null=True, blank=True)
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=16, unique=True)
    digest = models.CharField(max_length=64)
    scopes: models.JSONField[Any, Any] = models.JSONField(default=list)
    grants = models.BooleanField(default=False, help_text="Of a service account: its role allows nothing.")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_address = models.CharField(max_length=45, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.masked})"

    @property
    def masked(self) -> str:
        return f"loom_{self.prefix}_…"


class Invitation(Timestamped):
    """A link by which one person joins an organization in a role; its token is kept as a hash."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(blank=True)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.USER)
    digest = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="invitation_role"),
        ]

    def __str__(self) -> str:
        return f"{self.email or 'somebody'} to {self.organization}"

    @property
    def state(self) -> str:
        if self.accepted_at is not None:
            return "accepted"
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at <= timezone.now() else "open"
