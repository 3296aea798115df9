"""Admin pages of organizations, users and memberships."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from apps.accounts.invitation_services import invitation_revoke
from apps.accounts.key_services import key_revoke
from apps.accounts.login_services import login_end, logins_end, sessions_end
from apps.accounts.models import ApiKey, Invitation, Login, Membership, Organization, PeopleGroup, User
from apps.accounts.services import (
    group_create,
    group_delete,
    membership_remove,
    membership_set,
    organization_ensure,
)
from apps.accounts.user_services import user_activate, user_deactivate, user_update
from apps.core.admin import (
    HistoryAdmin,
    HistoryInline,
    ModelForm,
    TenantAdmin,
    TenantMixin,
    actor_of,
    apply_each,
)
from apps.core.asking_admin import asks
from apps.core.errors import Conflict, Forbidden
from apps.core.tenancy import organizations_of

if TYPE_CHECKING:
    AccountAdmin = DjangoUserAdmin[User]
else:
    AccountAdmin = DjangoUserAdmin

POWERS = ("is_superuser", "is_staff", "groups", "user_permissions")


class MembershipInline(HistoryInline):
    model = Membership
    fields = ["organization", "user", "role", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user", "organization")


@admin.register(Organization)
class OrganizationAdmin(TenantAdmin):
    list_display = ["name", "slug", "created_at"]
    search_fields = ["name", "slug"]
    date_hierarchy = "created_at"
    inlines = [MembershipInline]
    fields = ["name", "slug", "created_at"]
    readonly_fields = ["slug", "created_at"]

    def has_change_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Organization, form: ModelForm, change: bool) -> None:
        obj.pk = organization_ensure(name=obj.name).pk
        obj.refresh_from_db()


@admin.register(User)
class UserAdmin(TenantMixin, AccountAdmin):
    """Accounts are Django's own. Who is not a superuser sees colleagues and cannot hand out powers."""

    list_display = ["username", "email", "is_active", "is_staff", "is_superuser", "last_login", "date_joined"]
    list_filter = ["is_active", "is_staff", "is_superuser", "memberships__role"]
    actions: list[Any] = ["close_accounts", "open_accounts"]
    search_fields = ["username", "email", "first_name", "last_name"]
    date_hierarchy = "date_joined"
    inlines = [MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        users = User.objects.all()
        if request.user.is_superuser:
            return users
        colleagues = Membership.objects.filter(organization_id__in=organizations_of(request.user))
        return users.filter(pk__in=colleagues.values("user_id"), is_superuser=False)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = (*super().get_readonly_fields(request, obj), "is_active")
        return fields if request.user.is_superuser else (*fields, *POWERS)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request)

    @asks(
        "Close accounts of selected users",
        what="They are signed out everywhere at once, their tokens end and their keys are revoked for good."
        " What they did stays, and the account can be opened again.",
    )
    def close_accounts(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset, user_deactivate, "closed")

    @admin.action(description="Open accounts of selected users again", permissions=["operate"])
    def open_accounts(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset, user_activate, "open again")

    def _each(self, request: HttpRequest, people: QuerySet[User], service: Any, done: str) -> None:
        def call(user: User) -> None:
            if not self.has_change_permission(request, user):
                raise Forbidden(f"Only a superuser may do this to {user}.")
            if not service(user=user, actor=actor_of(request)):
                raise Conflict(f"The account of {user} is {done} already.")

        apply_each(self, request, people, call, done)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only a superuser changes staff: with a new password one could act as them."""
        is_out_of_reach = (
            obj is not None and not request.user.is_superuser and not self._is_ours(request, obj)
        )
        return not is_out_of_reach and super().has_change_permission(request, obj)

    def _is_ours(self, request: HttpRequest, user: User) -> bool:
        """Neither staff nor a member of another organization, where the new password would let one in too."""
        others = user.memberships.exclude(organization_id__in=organizations_of(request.user))
        return not user.is_staff and not others.exists()

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm, change: bool) -> None:
        """A new address by the service: a change that waits is void, and the old address is told."""
        email = obj.email
        is_moved = change and "email" in form.changed_data
        if is_moved:
            obj.email = form.initial["email"]
        super().save_model(request, obj, form, change)
        if is_moved:
            user_update(user=obj, email=email, actor=actor_of(request))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:  # noqa: A002
        response = super().user_change_password(request, id, form_url)
        if request.method == "POST" and response.status_code == 302:
            user = User.objects.get(pk=id)
            logins_end(user=user, reason="password changed")
            sessions_end(user=user, keep=request.session.session_key or "")
        return response

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Accounts are made inactive: events and decisions tell of them."""
        return False


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    organization_path = "organization_id"
    list_display = ["user", "organization_link", "role", "created_at"]
    list_filter = ["role", ("organization", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["user__username", "user__email", "organization__name"]
    date_hierarchy = "created_at"
    list_select_related = ["user", "organization"]
    autocomplete_fields = ["user", "organization"]
    fields = ["user", "organization", "role"]

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        return ["user", "organization"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return bool(request.user.has_perm("accounts.delete_membership"))

    def save_model(self, request: HttpRequest, obj: Membership, form: ModelForm, change: bool) -> None:
        saved = membership_set(
            user=obj.user, organization=obj.organization, role=obj.role, actor=actor_of(request)
        )
        obj.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        membership_remove(membership=obj, actor=actor_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset:
            membership_remove(membership=membership, actor=actor_of(request))


@admin.register(PeopleGroup)
class PeopleGroupAdmin(TenantAdmin):
    """People to share projects with; the members are added on the API."""

    list_display = ["name", "organization_link", "member_count", "created_at"]
    list_filter = [("organization", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["name", "organization__name", "group__user__username"]
    date_hierarchy = "created_at"
    list_select_related = ["organization", "group"]
    autocomplete_fields = ["organization"]
    actions: list[Any] = ["remove_groups"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        counted: QuerySet[Any] = rows.annotate(people_count=Count("group__user", distinct=True))
        return counted

    def get_fields(self, request: HttpRequest, obj: PeopleGroup | None = None) -> Any:
        return ["organization", "name", *(["members", "created_at"] if obj else [])]

    def get_readonly_fields(self, request: HttpRequest, obj: PeopleGroup | None = None) -> Any:
        return ["organization", "name", "members", "created_at"] if obj else []

    def save_model(self, request: HttpRequest, obj: PeopleGroup, form: ModelForm, change: bool) -> None:
        if not change:
            made = group_create(organization=obj.organization, name=obj.name, actor=actor_of(request))
            obj.pk = made.pk
            obj.refresh_from_db()

    @admin.display(description="members", ordering="people_count")
    def member_count(self, people: Any) -> int:
        return int(people.people_count)

    @admin.display(description="members")
    def members(self, people: PeopleGroup) -> str:
        return ", ".join(map(str, people.group.user_set.order_by("username")[:200])) or "-"

    def offered_actions(self, obj: PeopleGroup) -> Iterable[str]:
        return ["remove_groups"]

    @asks(
        "Remove selected groups",
        what="What was shared with the group is no longer shared with its members; they themselves stay.",
    )
    def remove_groups(self, request: HttpRequest, queryset: QuerySet[PeopleGroup]) -> None:
        actor = actor_of(request)
        self.apply_each(request, queryset, lambda people: group_delete(people=people, actor=actor), "removed")


class GroupAdmin(DjangoGroupAdmin):
    """Groups carry permissions, and those of people belong to a tenant: superusers' alone."""

    list_display = ["name", "of_people"]
    list_select_related = ["people__organization"]

    @admin.display(description="people of", empty_value="-")
    def of_people(self, group: Any) -> Any:
        return group.people.organization if hasattr(group, "people") else None

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Those of people are removed on their own page, which tells of it."""
        return bool(request.user.is_superuser) and not hasattr(obj, "people")

    def get_actions(self, request: HttpRequest) -> Any:
        """Without deleting many: it would not look at each."""
        return {name: act for name, act in super().get_actions(request).items() if name != "delete_selected"}


admin.site.unregister(Group)
admin.site.register(Group, GroupAdmin)


class CredentialAdmin(HistoryAdmin):
    """What lets people and programs in: looked at and ended, never written by hand."""

    organization_path = "organization_id"
    actions: list[Any] = ["end"]
    ended = ""

    @asks(
        "End selected", what="Whoever uses it is refused from the next request on; it cannot be used again."
    )
    def end(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self.apply_each(request, queryset, lambda row: self.end_one(row, actor_of(request)), self.ended)

    def end_one(self, row: Any, actor: str) -> None:
        raise NotImplementedError

    def offered_actions(self, obj: Any) -> Iterable[str]:
        return ["end"]


@admin.register(ApiKey)
class ApiKeyAdmin(CredentialAdmin):
    list_display = [
        "name",
        "masked",
        "user_link",
        "organization_link",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ]
    list_filter = [
        ("organization", admin.RelatedOnlyFieldListFilter),
        ("revoked_at", admin.EmptyFieldListFilter),
    ]
    search_fields = ["name", "prefix", "user__username", "organization__name"]
    date_hierarchy = "created_at"
    list_select_related = ["user", "organization"]
    fields = [
        "name", "masked", "user", "organization", "project_link", "scopes", "grants", "created_at",
        "expires_at",
        "last_used_at", "last_address", "revoked_at",
    ]  # fmt: skip
    ended = "keys revoked"

    def end_one(self, row: ApiKey, actor: str) -> None:
        key_revoke(key=row, actor=actor)


@admin.register(Invitation)
class InvitationAdmin(CredentialAdmin):
    list_display = [
        "id",
        "organization_link",
        "email",
        "role",
        "state",
        "invited_by",
        "expires_at",
        "accepted_by",
    ]
    list_filter = ["role", ("organization", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["email", "organization__name"]
    date_hierarchy = "created_at"
    list_select_related = ["organization", "invited_by", "accepted_by"]
    fields = [
        "organization", "email", "role", "state", "invited_by", "created_at", "expires_at", "accepted_by",
        "accepted_at", "revoked_at",
    ]  # fmt: skip
    ended = "invitations revoked"

    def end_one(self, row: Invitation, actor: str) -> None:
        invitation_revoke(invitation=row, actor=actor)


@admin.register(Login)
class LoginAdmin(CredentialAdmin):
    list_display = [
        "created_at",
        "user_link",
        "organization_link",
        "refreshed_at",
        "address",
        "ended_at",
        "end_reason",
    ]
    list_filter = ["end_reason", ("ended_at", admin.EmptyFieldListFilter)]
    search_fields = ["user__username", "address"]
    date_hierarchy = "created_at"
    list_select_related = ["user", "organization"]
    fields = [
        "user", "organization", "created_at", "refreshed_at", "expires_at", "address", "user_agent",
        "ended_at", "end_reason",
    ]  # fmt: skip
    ended = "logins ended"

    def end_one(self, row: Login, actor: str) -> None:
        login_end(login_id=row.pk, reason="ended by an administrator")
