"""Projects and their requirements: names that are free, ids that stay, settings that make sense."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from apps.accounts.models import Organization
from apps.accounts.services import organization_ensure
from apps.core.errors import BadInput, Conflict, TooLarge
from apps.events.models import Event
from apps.projects.models import Project, Requirement
from apps.projects.services import (
    prefix_of,
    project_close,
    project_create,
    project_delete,
    project_mark,
    project_reopen,
    project_update,
    requirements_sync,
)
from tests.engine.flows import at_once

PRD = "# Links\n\n## Features\n- Add links.\n- List links.\n"


@pytest.fixture
def organization(db: None) -> Organization:
    return organization_ensure(name="acme")


def kinds() -> list[str]:
    return list(Event.objects.order_by("id").values_list("kind", flat=True))


def shown(project: Project) -> dict[str, tuple[str, str]]:
    rows = Requirement.objects.filter(project=project).order_by("key")
    return {row.key: (row.text, row.status) for row in rows}


def test_a_project_is_made_with_its_requirements_and_says_so(organization: Organization) -> None:
    project = project_create(organization=organization, name="Link keeper", prd=PRD, actor="ann")
    assert (project.slug, project.bead_prefix, project.status) == ("link-keeper", "lk", "open")
    assert len(project.prd_sha256) == 64
    assert shown(project) == {"R-001": ("Add links.", "active"), "R-002": ("List links.", "active")}
    assert kinds()[-2:] == ["project.created", "requirements.synced"]
    assert Event.objects.get(kind="project.created").actor == "ann"


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("Splitfair", "spli"),
        ("Link keeper", "lk"),
        ("A very long name of a product", "avln"),
        ("X", "xlm"),
        ("2048 game", "glm"),
        ("日本", "lm"),
    ],
)
def test_bead_keys_begin_with_a_few_letters_of_the_name(name: str, prefix: str) -> None:
    assert prefix_of(name) == prefix


def test_the_same_name_again_gets_a_name_of_its_own(organization: Organization) -> None:
    other = organization_ensure(name="other")
    made = [project_create(organization=place, name="Links") for place in (organization, organization, other)]
    assert [project.slug for project in made[:2]] == ["links", "links-2"]
    assert len({project.bead_prefix for project in made}) == 3


@pytest.mark.django_db(transaction=True)
def test_the_same_name_at_the_same_moment_too() -> None:
    organization = organization_ensure(name="acme")
    given = at_once(*[partial(project_create, organization=organization, name="Links")] * 4)
    assert sorted(project.slug for project in given) == ["links", "links-2", "links-3", "links-4"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "  "}, "needs a name"),
        ({"max_sessions": 0}, "At least one session"),
        ({"approval": "maybe"}, "'maybe' is no way to approve"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    organization: Organization, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        project_create(organization=organization, **({"name": "Links"} | wrong))
    project = project_create(organization=organization, name="Links")
    with pytest.raises(BadInput, match=words):
        project_update(project=project, **wrong)


def test_a_prd_too_large_to_plan_leaves_no_project_behind(organization: Organization) -> None:
    prd = "## Features\n" + "".join(f"- Feature {n}\n" for n in range(500))
    with pytest.raises(TooLarge):
        project_create(organization=organization, name="Links", prd=prd)
    assert not Project.objects.exists()


def test_settings_can_be_changed_and_nothing_else(organization: Organization) -> None:
    project = project_create(organization=organization, name="Links")
    project_update(project=project, max_sessions=2, checks=["make test"], actor="ann")
    project.refresh_from_db()
    assert (project.max_sessions, project.checks) == (2, ["make test"])
    told = Event.objects.get(kind="project.updated").data
    assert told == {"project_id": project.pk, "name": "Links", "fields": ["checks", "max_sessions"]}
    with pytest.raises(BadInput, match="bead_counter, status of a project cannot be set"):
        project_update(project=project, status="closed", bead_counter=7)
    project_update(project=project)
    assert kinds().count("project.updated") == 1


def test_a_project_closes_and_reopens_once(organization: Organization) -> None:
    project = project_create(organization=organization, name="Links")
    project_close(project=project, reason="Done.")
    project_close(project=project, reason="Done again.")
    assert Project.objects.get().closed_at is not None
    project_reopen(project=project)
    project.refresh_from_db()
    assert (project.status, project.closed_at) == ("reopened", None)
    with pytest.raises(Conflict, match="open already"):
        project_reopen(project=project)
    updated = "project.updated"
    assert kinds()[-4:] == ["project.closed", updated, "project.reopened", updated]


def test_a_perpetual_project_never_closes(organization: Organization) -> None:
    project = project_create(organization=organization, name="Links")
    project_update(project=project, is_perpetual=True)
    project.refresh_from_db()
    with pytest.raises(Conflict, match="never closes"):
        project_close(project=project, reason="Done.")


def test_a_marked_project_is_neither_closed_nor_deleted_by_accident(organization: Organization) -> None:
    project = project_create(organization=organization, name="Links")
    project_mark(project=project, sticky=True)
    # `project` is a stale copy that knows of no mark: the row counts.
    for refused in (partial(project_close, reason="Done."), partial(project_delete, confirm="links")):
        with pytest.raises(Conflict, match="sticky"):
            refused(project=project)
    project_mark(project=project, sticky=False, perpetual=True)
    with pytest.raises(Conflict, match="perpetual"):
        project_delete(project=project, confirm="links")
    assert Project.objects.get().is_perpetual


def test_a_project_is_deleted_only_closed_and_by_name(organization: Organization) -> None:
    project = project_create(organization=organization, name="Links", prd=PRD)
    with pytest.raises(Conflict, match="is open"):
        project_delete(project=project, confirm="links")
    project_close(project=project, reason="Done.")
    with pytest.raises(BadInput, match="Say 'links'"):
        project_delete(project=project, confirm="yes")
    project_delete(project=project, confirm="links", actor="ann")
    assert not Project.objects.exists()
    assert Event.objects.get(kind="project.deleted").data == {"project_id": project.pk, "name": "Links"}


def test_requirements_keep_their_ids_through_versions_of_the_prd(organization: Organization) -> None:
    project = project_create(organization=organization, name="Links", prd=PRD)
    active = requirements_sync(project=project, prd="## Features\n- Share links.\n- Add links\n")
    assert [(row.key, row.position) for row in active] == [("R-003", 1), ("R-001", 2)]
    assert shown(project)["R-002"] == ("List links.", "removed")
    assert Event.objects.filter(kind="requirements.synced").latest("id").data == {
        "project_id": project.pk,
        "name": "Links",
        "count": 2,
        "removed": ["R-002"],
    }
    requirements_sync(project=project, prd=PRD)
    assert shown(project) == {
        "R-001": ("Add links.", "active"),
        "R-002": ("List links.", "active"),
        "R-003": ("Share links.", "removed"),
    }


@pytest.mark.django_db(transaction=True)
def test_two_versions_at_once_do_not_share_an_id() -> None:
    project = project_create(organization=organization_ensure(name="acme"), name="Links", prd=PRD)
    versions = [f"## Features\n- Feature of version {n}.\n" for n in range(4)]
    at_once(*[partial(requirements_sync, project=project, prd=prd) for prd in versions])
    rows = shown(project)
    assert len(rows) == 6
    assert len({text for text, _ in rows.values()}) == 6
