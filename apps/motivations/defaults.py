"""The motivations that come with Loom: a set for every role, and what keeps a perpetual project alive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from apps.accounts.models import Organization
from apps.agents.models import Persona
from apps.agents.personas import roles_of
from apps.motivations.conditions import CONDITIONS
from apps.motivations.models import Motivation
from apps.motivations.services import motivation_create
from apps.projects.models import Project

HOUR, DAY = 60, 24 * 60
WEEK = 7 * DAY


@dataclass(frozen=True)
class Default:
    """`cooldown` in minutes; the description is what the agent reads."""

    role: str
    name: str
    condition: str
    cooldown: int
    description: str
    parameters: dict[str, Any] = field(default_factory=dict)
    priority: int = 3


BUILT = {"bead_types": ["task", "bug", "feature", "story"]}
FEATURES = {"bead_types": ["feature", "story"]}
DEVOPS, DOCS, ENGINEERING = "devops-engineer", "documentation-manager", "engineering-manager"
HOUSEKEEPING, PRODUCT, PROJECT = "housekeeping-bot", "product-manager", "project-manager"
RELATIONS = "public-relations-manager"


def _release(days: int) -> dict[str, Any]:
    return {"days": days, "labels": ["release"]}


ROLE_SET: tuple[Default, ...] = (
    Default("ceo", "Strategic review", "system_idle", 4 * HOUR,
            "Nobody works. Look at where the product stands and say what is worth doing next.",
            {"minutes": 30}),
    Default("ceo", "Decisions that wait", "decision_pending", 5,
            "A decision waits. See that whoever must answer it can.", {"minutes": 5}, 1),
    Default("ceo", "Quarterly review", "quarter_boundary", 80 * DAY,
            "A quarter has ended: compare what was meant with what was merged."),
    Default("cfo", "Budget nearly spent", "cost_exceeded", HOUR,
            "A budget is nearly spent. Find what cost most and propose what to do.", {"percent": 90}, 1),
    Default("cfo", "Monthly financial review", "month_boundary", 25 * DAY,
            "A month has ended: write down what was spent, on what, and what it gave."),
    Default("cfo", "Cost optimization", "system_idle", 6 * HOUR,
            "Nobody works. Look for models and habits that cost more than they give.", {"minutes": 45}),
    Default(PROJECT, "Deadline approaches", "deadline_approach", 2 * HOUR,
            "A deadline is near. Say what stands in its way and order the work by it.", {"days": 7}, 1),
    Default(PROJECT, "Deadline passed", "deadline_passed", 4 * HOUR,
            "A deadline has passed. Say why, and propose a new one or a smaller scope.", {}, 1),
    Default(PROJECT, "Velocity drop", "velocity_drop", DAY,
            "Fewer beads were closed than the week before. Find what holds the work up.", {"percent": 20}),
    Default(ENGINEERING, "Technical deadline approaches", "deadline_approach", 4 * HOUR,
            "A technical deadline is near. Look for risks in the code and name them.",
            {"days": 5, "labels": ["technical"]}, 1),
    Default(ENGINEERING, "Tests fail on main", "test_failure", 30,
            "Checks failed on top of main. Find the cause and mend it.", {}, 1),
    Default(ENGINEERING, "Coverage drop", "coverage_dropped", DAY,
            "Test coverage has fallen. Add tests where a fault would hurt most.", {"percent": 80}),
    Default("qa-engineer", "Completed work", "bead_completed", 10,
            "Work was completed. Try it as its user would, beyond its own tests.", BUILT),
    Default("qa-engineer", "Release sweep", "deadline_approach", DAY,
            "A release is near. Try the whole product once, end to end.", _release(3)),
    Default("qa-engineer", "Test failure", "test_failure", 15,
            "Checks failed on top of main. Say whether the test or the code is wrong.", {}, 1),
    Default(RELATIONS, "Release published", "release_published", HOUR,
            "A release was published. Write what users should know of it."),
    Default(RELATIONS, "Issue opened", "github_issue_opened", 30, "An issue was opened. Draft an answer."),
    Default(RELATIONS, "Comment added", "github_comment_added", 15, "A comment was added. Draft an answer."),
    Default(PRODUCT, "Milestone complete", "bead_completed", 2 * HOUR,
            "An epic is complete. Check it against what was asked and say what comes next.",
            {"bead_types": ["epic"]}),
    Default(PRODUCT, "Quarterly planning", "quarter_boundary", 80 * DAY,
            "A quarter begins. Rank what is open by its value to users."),
    Default(PRODUCT, "Issue triage", "github_issue_opened", HOUR,
            "Issues were opened. Say which matter, to whom, and how much."),
    Default(DEVOPS, "Release infrastructure", "deadline_approach", 12 * HOUR,
            "A release is near. Check that it can be built, installed and taken back.", _release(2)),
    Default(DEVOPS, "Pipeline failure", "test_failure", 15,
            "Checks failed on top of main. See whether the pipeline or its environment is at fault.", {}, 1),
    Default(DEVOPS, "Maintenance while idle", "system_idle", 8 * HOUR,
            "Nobody works. Bring dependencies and build files up to date, one at a time.", {"minutes": 60}),
    Default(DOCS, "Feature documentation", "bead_completed", 30,
            "A feature was completed. Document it where its user would look.", FEATURES),
    Default(DOCS, "Release documentation", "deadline_approach", DAY,
            "A release is near. Check that the documentation says what the product does.", _release(5)),
    Default(DOCS, "Documentation while idle", "system_idle", 4 * HOUR,
            "Nobody works. Find the page that misleads most and mend it.", {"minutes": 45}),
    Default("code-reviewer", "Pull request opened", "github_pr_opened", 5,
            "A pull request was opened. Review it.", {}, 2),
    Default("code-reviewer", "Work in progress", "bead_status_changed", 30,
            "Work has begun. See that it fits how the code is built.", {"status": "in_progress"}),
    Default(HOUSEKEEPING, "Clean-up while idle", "system_idle", 2 * HOUR,
            "Nobody works. Remove what is dead: files, code, stale beads.", {"minutes": 20}, 4),
    Default(HOUSEKEEPING, "Daily maintenance", "scheduled_interval", DAY,
            "Once a day: look for leftovers and put them in order.", {"minutes": DAY}, 4),
    Default("decision-maker", "Pending decision", "decision_pending", 10,
            "A decision waits. Gather what is needed to answer it.", {"minutes": 10}, 1),
    Default("decision-maker", "Idle project", "project_idle", HOUR,
            "A project stands still. Say what should be done next, or that it is done.", {"minutes": 60}),
)  # fmt: skip

PERPETUAL_SET: tuple[Default, ...] = (
    Default("cfo", "Daily budget check", "scheduled_interval", 20 * HOUR,
            "Look at what was spent since yesterday and name what stands out.", {"cron": "0 6 * * *"}),
    Default("cfo", "Weekly cost report", "scheduled_interval", 6 * DAY,
            "Write down the week's cost, by model and by kind of work.", {"cron": "0 7 * * 1"}),
    Default("qa-engineer", "Daily tests", "scheduled_interval", 20 * HOUR,
            "Run every check on main; file what fails.", {"cron": "0 5 * * *"}, 2),
    Default("qa-engineer", "Weekly integration tests", "scheduled_interval", 6 * DAY,
            "Try how the parts work together, as a user would.", {"cron": "0 5 * * 2"}),
    Default("qa-engineer", "Weekly regression tests", "scheduled_interval", 6 * DAY,
            "Try again what was once broken.", {"cron": "0 5 * * 4"}),
    Default(RELATIONS, "Hourly look at GitHub", "scheduled_interval", 50,
            "See what was asked since the last look.", {"minutes": HOUR}, 4),
    Default(RELATIONS, "Daily community report", "scheduled_interval", 20 * HOUR,
            "Say what users talk about and what they miss.", {"cron": "0 16 * * *"}, 4),
    Default(DOCS, "Daily documentation audit", "scheduled_interval", 20 * HOUR,
            "Check one page against what the product does.", {"cron": "0 8 * * *"}, 4),
    Default(DOCS, "Weekly consistency check", "scheduled_interval", 6 * DAY,
            "See that words mean the same on all pages.", {"cron": "0 8 * * 3"}, 4),
    Default(DEVOPS, "Daily health check", "scheduled_interval", 20 * HOUR,
            "Check that the product still builds and starts from nothing.", {"cron": "0 4 * * *"}, 2),
    Default(DEVOPS, "Weekly security scan", "scheduled_interval", 6 * DAY,
            "Look through dependencies and code for known weaknesses.", {"cron": "0 4 * * 0"}, 2),
    Default(PROJECT, "Daily standup", "scheduled_interval", 20 * HOUR,
            "Say what was done, what is next and what is stuck.", {"cron": "0 9 * * 1-5"}),
    Default(PROJECT, "Weekly sprint planning", "scheduled_interval", 6 * DAY,
            "Choose what the team does this week.", {"cron": "30 8 * * 1"}),
    Default(HOUSEKEEPING, "Hourly clean-up", "scheduled_interval", 50,
            "Look for leftovers of finished work.", {"minutes": HOUR}, 4),
    Default(HOUSEKEEPING, "Weekly archive", "scheduled_interval", 6 * DAY,
            "Put away what nobody needs at hand.", {"cron": "0 3 * * 6"}, 4),
)  # fmt: skip


@transaction.atomic
def defaults_register(*, project: Project, roles: bool = False, actor: str = "loom") -> int:
    """Add what a project lacks of its set; how many. What somebody changed or disabled stays as it is.

    A perpetual project gets the perpetual set; `roles` adds the set of each role.
    """
    row = Project.objects.locked(project.pk)  # who registers at the same time finds them registered
    wanted = (*(ROLE_SET if roles else ()), *(PERPETUAL_SET if row.is_perpetual else ()))
    known = set(Motivation.objects.filter(project=row).values_list("name", flat=True))
    roles_known = roles_of(Persona.objects.for_organization(row.organization_id))
    missing = [
        one for one in wanted if one.name not in known and (not roles_known or one.role in roles_known)
    ]
    for default in missing:
        motivation_create(
            organization=row.organization,
            project=row,
            name=default.name,
            type=CONDITIONS[default.condition].type,
            condition=default.condition,
            description=default.description,
            agent_role=default.role,
            parameters=default.parameters,
            cooldown_minutes=default.cooldown,
            priority=default.priority,
            create_bead=True,
            wake_agent=True,
            is_built_in=True,
            actor=actor,
        )
    return len(missing)


def organization_defaults(*, organization: Organization, actor: str = "loom") -> int:
    """The sets of all open projects of an organization; how many motivations were added."""
    projects = Project.objects.filter(organization=organization).exclude(status=Project.Status.CLOSED)
    return sum(
        defaults_register(project=project, roles=True, actor=actor) for project in projects.defer("prd")
    )
