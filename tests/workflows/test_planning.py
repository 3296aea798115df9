"""A plan is checked before anybody works on it; what is wrong is listed, all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.services import organization_ensure
from apps.agents.persona_services import personas_sync
from apps.beads.models import Bead, Dependency
from apps.beads.services import bead_create
from apps.engine.models import Run
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.workflows.planning import plan_check, plan_text
from apps.workflows.prd_flow import weave_start
from tests.workflows.studio import Answer, Studio, done, last, replies, write

Messages = list[dict[str, Any]]
Draft = Callable[..., Bead]


@pytest.fixture
def project(db: None) -> Project:
    personas_sync()
    prd = "# Shop\n## Requirements\n- It sells.\n- It ships.\n"
    return project_create(organization=organization_ensure(name="Acme"), name="Shop", prd=prd)


@pytest.fixture
def draft(project: Project) -> Draft:
    def make(title: str, *, kind: str = "story", **fields: Any) -> Bead:
        references = {
            key: fields.pop(key) for key in ("parent", "blocked_by", "requirements") if key in fields
        }
        values: dict[str, Any] = {"role": "engineer", "acceptance": ["It works."]} if kind != "epic" else {}
        bead = bead_create(
            project=project, title=title, type=kind, status=Bead.Status.DEFERRED, **{**values, **fields}
        )
        Bead.objects.filter(pk=bead.pk).update(draft=references)
        return bead

    return make


def test_a_sound_plan_holds_and_its_references_become_real(project: Project, draft: Draft) -> None:
    draft("Shopping", kind="epic")
    sell = draft("Sell", parent="shopping", requirements=["r-001"])
    ship = draft("Ship", parent="Shopping", blocked_by=["SELL"], requirements=["R-002"])

    assert plan_check(project_id=project.pk) == []

    sell.refresh_from_db()
    assert sell.role == "engineering-manager", "an alias becomes the role itself"
    assert sell.parent is not None
    assert sell.parent.title == "Shopping"
    assert [row.key for row in sell.requirements.all()] == ["R-001"]
    assert Dependency.objects.get().bead_id == ship.pk
    assert f"\n  - {ship.key} Ship (engineering-manager, P2; R-002; after {sell.key})" in plan_text(project)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"role": "wizard"}, "unknown role 'wizard'"),
        ({"role": ""}, "has no role"),
        ({"acceptance": []}, "no acceptance criteria"),
        ({"acceptance": ["  "]}, "no acceptance criteria"),
        ({"parent": "Nowhere"}, "names the parent 'Nowhere', which is not in the plan"),
        ({"parent": "Sell"}, "which is not an epic"),
        ({"blocked_by": ["Nothing"]}, "is blocked by 'Nothing'"),
        ({"requirements": ["R-002", "R-099"]}, "requirement 'R-099', which does not exist"),
        ({"requirements": []}, "No story covers R-002: It ships."),
    ],
)
def test_each_fault_of_a_story_is_named(
    project: Project, draft: Draft, fields: dict[str, Any], problem: str
) -> None:
    draft("Sell", requirements=["R-001"])
    draft("Ship", **{"requirements": ["R-002"], **fields})

    problems = plan_check(project_id=project.pk)

    assert len(problems) == 1
    assert problem in problems[0]
    assert not Dependency.objects.exists(), "a plan that does not hold changes nothing"


def test_what_a_person_added_to_a_plan_that_was_sent_back_stays(project: Project, draft: Draft) -> None:
    sell = draft("Sell", requirements=["R-001"])
    ours = bead_create(
        project=project, title="Ship", status="deferred", blocked_by=[sell],
        requirements=[project.requirements.get(key="R-002")],
    )  # fmt: skip
    assert plan_check(project_id=project.pk) == []
    assert [row.key for row in ours.requirements.all()] == ["R-002"]
    assert Dependency.objects.get().bead_id == ours.pk
    Bead.objects.filter(pk=ours.pk).update(draft={"blocked_by": []})
    Bead.objects.filter(pk=ours.pk).update(role="engineer", acceptance=["It ships."])
    assert plan_check(project_id=project.pk) == []
    assert not Dependency.objects.exists(), "the planner has said something else"
    assert ours.requirements.count() == 1


def test_an_empty_plan_is_refused(project: Project, draft: Draft) -> None:
    draft("Shopping", kind="epic")
    assert "holds no story" in plan_check(project_id=project.pk)[0]


def test_stories_that_wait_in_a_circle_are_refused(project: Project, draft: Draft) -> None:
    draft("Sell", requirements=["R-001"], blocked_by=["Ship"])
    draft("Ship", requirements=["R-002"], blocked_by=["Sell"])
    problems = plan_check(project_id=project.pk)
    assert len(problems) == 1
    assert problems[0].count("→") == 2


def test_stories_that_are_only_related_wait_for_nobody(project: Project, draft: Draft) -> None:
    sell = draft("Sell", requirements=["R-001"], blocked_by=["Ship"])
    ours = bead_create(project=project, title="Ship", status="deferred", role="engineer", acceptance=["It."])
    ours.requirements.add(project.requirements.get(key="R-002"))
    Dependency.objects.create(bead=ours, blocker=sell, kind=Dependency.Kind.RELATED)
    assert plan_check(project_id=project.pk) == []


def test_a_story_cannot_wait_for_its_own_epic(project: Project, draft: Draft) -> None:
    draft("Shopping", kind="epic")
    draft("Sell", requirements=["R-001", "R-002"], parent="Shopping", blocked_by=["Shopping"])
    assert "circle" in plan_check(project_id=project.pk)[0]


def test_the_planner_hears_what_is_wrong_until_the_plan_holds(open_studio: Callable[..., Studio]) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "expand":
            return [write("plans/PRD.md", "# Calculator\n"), write("evil.py", "boom\n"), done()]
        if kind == "decide":
            return [("decide", {"choice": "reject", "rationale": "Enough for a test."})]
        if replies(messages) == 0:
            return [("create_bead", {"title": "Add numbers", "type": "story", "role": "nobody"}), done()]
        heard.append(last(messages))
        if len(heard) == 1:
            return [
                ("create_bead", {"title": "add numbers", "type": "story", "role": "engineer"}),
                (
                    "update_bead",
                    {
                        "bead": "Add numbers",
                        "role": "qa-engineer",
                        "acceptance": ["1 + 2 is 3"],
                        "requirements": ["R-001"],
                    },
                ),
                done(),
            ]
        raise AssertionError("the plan holds by now")

    studio = open_studio(model)
    weave_start(project=studio.project)

    studio.run()

    assert "Plan refused" in heard[0]
    assert "unknown role 'nobody'" in heard[0]
    assert "no acceptance criteria" in heard[0]
    assert "No story covers R-001" in heard[0]
    session = studio.sessions("plan")[0]
    assert "There is a bead calc-1 titled 'Add numbers' already." in str(studio.turns(session)[1].results)
    run = Run.objects.get(flow="prd.weave")
    assert run.output == {"status": "dropped", "reason": "The plan was rejected: Enough for a test."}
    assert "evil.py" not in studio.hub.files(studio.hub.head("main") or ""), (
        "only plans/ of an expansion lands"
    )
