"""The people of an organization: invitations, roles, leaving, groups, and projects shared with them."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from apps.accounts.invitation_services import invitation_create, invitation_revoke
from apps.accounts.models import ApiKey, Invitation, Membership, Organization, PeopleGroup, Role, User
from apps.accounts.permissions import organizations_with
from apps.accounts.services import (
    group_create,
    group_delete,
    group_member_add,
    group_member_remove,
    membership_remove,
    membership_set,
)
from apps.accounts.user_services import user_create
from apps.core.errors import BadInput, LoomError
from apps.core.storable import storable_text
from apps.dashboard.pages import act, found, number_in, page, require, require_in, sent, show
from apps.projects.models import Project, ProjectGroupShare, ProjectUserShare
from apps.projects.sharing import share_remove, share_set

PEOPLE = 200
DAY: Final = 24 * 3600
LIVES: Final = {"1": "a day", "7": "a week", "30": "30 days", "90": "90 days"}
ROLES: Final = {
    Role.ADMIN: "administers people, models and everything else",
    Role.USER: "works: makes projects and beads, decides",
    Role.VIEWER: "looks on",
}


def _manages(request: HttpRequest) -> QuerySet[Organization]:
    user: Any = request.user
    return Organization.objects.filter(pk__in=organizations_with(user, "users:write")).order_by("name")


def _managed(request: HttpRequest) -> Organization:
    organization: Organization = found(
        Organization.objects.for_user(request.user), slug=storable_text(request.POST.get("organization", ""))
    )
    require(request, "users:write", organization.pk)
    return organization


# -- People ----------------------------------------------------------------------------------------------


@page
def people(request: HttpRequest) -> HttpResponse:
    return _show_people(request)


def _show_people(
    request: HttpRequest, *, link: str = "", trouble: str = "", given: Any = None, status: int = 200
) -> HttpResponse:
    manages = list(_manages(request))
    members = Membership.objects.filter(organization__in=manages).select_related("user", "organization")
    rows = list(members.order_by("organization__name", "user__username")[:PEOPLE])
    invitations = Invitation.objects.filter(
        organization__in=manages, accepted_at=None, revoked_at=None, expires_at__gt=timezone.now()
    )
    context = {
        "members": _with_ends(rows),
        "manages": manages,
        "invitations": list(invitations.select_related("organization", "invited_by")[:PEOPLE]),
        "roles": ROLES,
        "lives": LIVES,
        "link": link,
        "trouble": trouble,
        "given": given or {},
    }
    return show(request, "dashboard/people.html", context, status)


def _with_ends(rows: list[Membership]) -> list[tuple[Membership, int, int]]:
    """Each with the number of keys and of groups that would end with it."""
    of = {"organization__in": {row.organization_id for row in rows}}
    keys = ApiKey.objects.filter(**of, revoked_at=None).values_list("user_id", "organization_id")
    groups = PeopleGroup.objects.filter(**of).exclude(group__user=None)
    counts = [
        {(user, organization): count for user, organization, count in found}
        for found in (
            keys.annotate(count=Count("pk")).order_by(),
            groups.values_list("group__user", "organization_id").annotate(count=Count("pk")).order_by(),
        )
    ]
    places = [(row, (row.user_id, row.organization_id)) for row in rows]
    return [(row, counts[0].get(place, 0), counts[1].get(place, 0)) for row, place in places]


@act
def person_add(request: HttpRequest) -> str:
    organization = _managed(request)
    given = request.POST
    person = user_create(
        username=given.get("username", "")[:150],
        password=given.get("password", ""),
        organization=organization,
        role=given.get("role", Role.USER),
        email=given.get("email", ""),
        actor=str(request.user),
    )
    return f"{person.username} can sign in."


@sent
def invite(request: HttpRequest) -> HttpResponse:
    """A link by which one person joins; it is on this answer and nowhere else."""
    given, by = request.POST, request.user
    organization = _managed(request)
    try:
        if given.get("days") not in LIVES:
            raise BadInput("Say how long the link is good.")
        _, token = invitation_create(
            organization=organization,
            role=given.get("role", ""),
            by=by if isinstance(by, User) else User(),
            email=given.get("email", "")[:254],
            expires_in=int(given["days"]) * DAY,
        )
    except LoomError as error:
        said = error.told
        return _show_people(request, trouble=said, given=given, status=error.status)
    return _show_people(request, link=request.build_absolute_uri(reverse("invitation", args=[token])))


@act
def invitation_end(request: HttpRequest, *, invitation_id: int) -> str:
    rows = Invitation.objects.for_user(request.user).select_related("organization")
    row: Invitation = found(rows, pk=invitation_id)
    require(request, "users:write", row.organization_id)
    ended = invitation_revoke(invitation=row, actor=str(request.user))
    return "The link is good for nothing now." if ended else "It was not open any more."


def _membership(request: HttpRequest, membership_id: int) -> Membership:
    rows = Membership.objects.for_user(request.user).select_related("user", "organization")
    row: Membership = found(rows, pk=membership_id)
    return row


@act
def role_set(request: HttpRequest, *, membership_id: int) -> str:
    row = _membership(request, membership_id)
    require(request, "users:write", row.organization_id)
    membership_set(
        user=row.user,
        organization=row.organization,
        role=request.POST.get("role", ""),
        actor=str(request.user),
    )
    return f"{row.user} is now {request.POST.get('role')} of {row.organization.name}."


@act
def member_end(request: HttpRequest, *, membership_id: int) -> str:
    row = _membership(request, membership_id)
    if row.user_id != request.user.pk:
        require(request, "users:delete", row.organization_id)
    membership_remove(membership=row, actor=str(request.user))
    return f"{row.user} is no member of {row.organization.name} any more."


# -- Groups and shared projects --------------------------------------------------------------------------


@page
def groups(request: HttpRequest) -> HttpResponse:
    manages = list(_manages(request))
    rows = PeopleGroup.objects.filter(organization__in=manages).select_related("organization")
    projects = Project.objects.for_user(request.user).filter(organization__in=manages).defer("prd")
    members = Membership.objects.filter(organization__in=manages).exclude(role=Role.SERVICE)
    shared = {"content_object__organization__in": manages}
    related = ("content_object", "permission")
    context = {
        "manages": manages,
        "groups": list(rows.prefetch_related("group__user_set").order_by("organization", "name")[:PEOPLE]),
        "members": list(members.select_related("user").order_by("user__username")[:PEOPLE]),
        "projects": list(projects.order_by("name")[:PEOPLE]),
        "user_shares": list(
            ProjectUserShare.objects.filter(**shared)
            .select_related("user", *related)
            .defer("content_object__prd")[:PEOPLE]
        ),
        "group_shares": list(
            ProjectGroupShare.objects.filter(**shared)
            .select_related("group__people", *related)
            .defer("content_object__prd")[:PEOPLE]
        ),
    }
    return show(request, "dashboard/groups.html", context)


def _group(request: HttpRequest, group_id: int) -> PeopleGroup:
    rows = PeopleGroup.objects.for_user(request.user).select_related("group", "organization")
    row: PeopleGroup = found(rows, pk=group_id)
    require(request, "users:write", row.organization_id)
    return row


@act
def group_add(request: HttpRequest) -> str:
    name = storable_text(request.POST.get("name", ""))
    row = group_create(organization=_managed(request), name=name, actor=str(request.user))
    return f"The group {row.name} is there; now add people."


@act
def group_end(request: HttpRequest, *, group_id: int) -> str:
    row = _group(request, group_id)
    group_delete(people=row, actor=str(request.user))
    return f"The group {row.name} is gone, and what was shared with it."


@act
def group_people(request: HttpRequest, *, group_id: int, word: str) -> str:
    """Put somebody in, or take them out."""
    row = _group(request, group_id)
    wanted = number_in(request.POST.get("user", ""))
    person = User.objects.filter(memberships__organization=row.organization_id, pk=wanted).first()
    if word not in {"join", "leave"}:
        raise Http404
    if person is None:
        raise BadInput("Choose somebody of the organization.")
    change = group_member_add if word == "join" else group_member_remove
    change(people=row, user=person, actor=str(request.user))
    return f"{person} is {'in' if word == 'join' else 'no more in'} {row.name}."


@act
def share_add(request: HttpRequest) -> str:
    """With a person of any organization by their name, or with a group of one's own."""
    given = request.POST
    rows = Project.objects.for_user(request.user).select_related("organization").defer("prd")
    project: Project = found(rows, pk=number_in(given.get("project", "")))
    require_in(request, "projects:admin", project)
    share = share_set(
        project=project, to=_whom(project, given), role=given.get("role", ""), actor=str(request.user)
    )
    return f"{project.name} is shared with {share.name}."


def _whom(project: Project, given: Any) -> User | PeopleGroup:
    name, group = storable_text(given.get("username", "")).strip(), number_in(given.get("group", ""))
    if bool(name) == bool(group):
        raise BadInput("Say with whom: a user name, or a group.")
    if group:
        people: PeopleGroup = found(
            PeopleGroup.objects.filter(organization=project.organization_id), pk=group
        )
        return people
    person = User.objects.filter(username=name[:150], is_active=True).first()
    if person is None:
        raise BadInput(f"There is no user {name[:80]!r}.")
    return person


@act
def share_end(request: HttpRequest, *, project_id: int, kind: str, holder: int) -> str:
    rows = Project.objects.for_user(request.user).select_related("organization").defer("prd")
    project: Project = found(rows, pk=project_id)
    require_in(request, "projects:admin", project)
    shared: dict[str, QuerySet[Any]] = {
        "user": User.objects.filter(project_shares__content_object=project),
        "group": PeopleGroup.objects.filter(group__project_shares__content_object=project),
    }
    if kind not in shared:
        raise Http404
    to = found(shared[kind], pk=holder)
    share_remove(project=project, to=to, actor=str(request.user))
    return f"{project.name} is shared with {to} no more."
