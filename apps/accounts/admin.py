"""Admin pages of organizations, users and memberships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.models import Membership, Organization, User
from apps.accounts.services import membership_remove, membership_set, organization_ensure
from apps.core.admin import HistoryInline, ModelForm, TenantAdmin, TenantMixin, actor_of

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

    list_display = ["username", "email", "is_active", "is_staff", "is_superuser", "last_login"]
    search_fields = ["username", "email", "first_name", "last_name"]
    date_hierarchy = "date_joined"
    inlines = [MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        users = User.objects.all()
        if request.user.is_superuser:
            return users
        own = Membership.objects.filter(user_id=request.user.pk or 0).values("organization_id")
        colleagues = Membership.objects.filter(organization_id__in=own).values("user_id")
        return users.filter(pk__in=colleagues, is_superuser=False)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only a superuser changes staff: with a new password one could act as them."""
        is_out_of_reach = obj is not None and obj.is_staff and not request.user.is_superuser
        return not is_out_of_reach and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Accounts are made inactive: events and decisions tell of them."""
        return False


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    organization_path = "organization_id"
    list_display = ["user", "organization", "role", "created_at"]
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
