"""What agents are told: the system message of a persona and the task message of each kind of session.

The first two messages of a session stay pinned for as long as it lasts. Everything here is deterministic, so
that a session that goes on elsewhere reads the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from apps.agents.lesson_models import Lesson
from apps.agents.models import Agent, Claim, Persona, Session
from apps.agents.replies.language import strip
from apps.agents.replies.language_values import instructions_of
from apps.agents.sandbox import sandbox_tools
from apps.beads.models import Bead
from apps.decisions.models import Decision
from apps.projects.models import Project, Requirement

MAX_PRD_CHARS = 120_000
MAX_DIFF_CHARS = 60_000
MAX_GUIDE_CHARS = 6_000

SYSTEM = """\
You are {name}, the {role} of a team that builds a product together. {description}

{body}

How work goes here:
- You act only through the actions offered to you; plain prose does nothing. Take one or several actions \
a reply.
- You work in your own worktree on {branch}; nobody else sees it until it is merged. Every change you make \
is kept; there is nothing to commit or push.
- Commands run in a sandbox without network{network}; it has {tools}. Paths are relative to the root of the repository.
- Saying that you are done is only a claim. The platform then runs the project's checks on a clean checkout, \
a colleague reviews the change, and it is merged after that. You hear back if something is wrong.
- Read before you change. Keep changes small and to the task. Write tests that could fail, and run them.
- Never weaken, skip or delete a test to make a check pass; that is seen and sent back.
- If only a person or another role can decide something, ask with request_decision instead of guessing.
"""

JSON_PROTOCOL = """
Answer with one JSON object and nothing else:
{{"actions": [{{"type": "<action>", ...arguments}}, ...], "notes": "<one or two sentences of what you \
think>"}}

The actions:
{manual}
"""


REVIEW = """\
Review the change below as a careful colleague. Judge each acceptance criterion by what the code does, not by \
what the author says. You may read files and run the tests. Reject what is wrong, untested, unsafe or beside \
the task; do not reject for taste. Answer with submit_review: verdict, comments that say what to change and \
where, and for each criterion whether it is met."""

LANGUAGE = """
You may direct the platform with instructions, in the text of a reply, each tag and parameter on a line of \
its own:
<loom>
WORKFLOW: delegate
INPUT: {{"title": "...", "role": "qa-engineer", "acceptance": ["..."]}}
WAIT: false
END
</loom>
Instructions: {kinds}. LIST: catalog shows what there is to start and every parameter; QUERY: <run> tells \
where a run stands. You get what came of them as the results of your reply.
"""


def language_manual(persona: Persona) -> str:
    """How to give instructions, for personas that delegate; others can still look and ask."""
    allowed = instructions_of(persona.metadata)
    return LANGUAGE.format(kinds=", ".join(allowed)) if "WORKFLOW" in allowed else ""


def system_message(*, persona: Persona, agent_name: str, project: Project, manual: str = "") -> str:
    """The system message; `manual` is given where the model has no native tools."""
    text = SYSTEM.format(
        name=agent_name,
        role=persona.role,
        description=persona.description,
        body=strip(persona.instructions).strip(),  # standing orders are for the platform
        branch=project.branch,
        tools=", ".join(sandbox_tools()),
        network="" if not project.allow_network else " limits (the project's owner allowed it)",
    )
    text += language_manual(persona)
    return text + (JSON_PROTOCOL.format(manual=manual) if manual else "")


def opening_messages(agent: Agent, project: Project, task: str) -> list[dict[str, Any]]:
    """The two messages that stay pinned; the agent's persona is loaded."""
    system = system_message(persona=agent.persona, agent_name=agent.name, project=project)
    return [{"role": "system", "content": system}, {"role": "user", "content": task}]


def task_head(kind: str, title: str) -> str:
    return f"# Task: {kind}\nTitle: {title}\n"


def _listed(items: Iterable[str], empty: str = "(none)") -> str:
    return "\n".join(f"- {item}" for item in items) or empty


def _requirements(requirements: Iterable[Requirement]) -> str:
    return _listed(f"{requirement.key}: {requirement.text}" for requirement in requirements)


def _part(instructions: str) -> str:
    """What a node of the workflow says to whoever works there."""
    return f"## Your part\n{instructions.strip()}\n\n" if instructions.strip() else ""


def expand_task(*, project: Project, requirements: Iterable[Requirement]) -> str:
    return f"""{task_head("expand", project.name)}
Turn the product requirements document (PRD) below into `plans/PRD.md`: what the product is and for whom, \
every \
requirement with its id and how one can tell that it is met, what is out of scope, and the risks and open \
questions \
worth knowing. Keep the ids exactly. Add nothing that the PRD does not ask for. Then call done.

## Requirements
{_requirements(requirements)}

## The PRD
{project.prd[:MAX_PRD_CHARS]}
"""


def plan_task(
    *, project: Project, requirements: Iterable[Requirement], roles: Iterable[str], prd: str
) -> str:
    return f"""{task_head("plan", project.name)}
Plan the work with create_bead: a few epics, and below them stories that one agent can finish in one \
sitting and \
that can be proven by the project's checks. Then call done.

- Each story has a role, a parent (the title of its epic), a description that says what to build and where, \
acceptance criteria that can be checked one by one, and the ids of the requirements it serves.
- blocked_by names what must be merged first, by title. Stories that do not need each other should not \
block each \
other: they are worked on in parallel. Stories that would edit the same files should.
- The first story lays the ground: package layout, how the tests run, a first passing test.
- Every requirement must be covered by at least one story. Priorities go from 0 (critical) to 4 (backlog).
- Roles: {", ".join(sorted(roles))}.

## Requirements
{_requirements(requirements)}

## plans/PRD.md
{prd[:MAX_PRD_CHARS]}
"""


def work_task(
    *,
    bead: Bead,
    requirements: Iterable[str],
    blockers: Iterable[str],
    code: str,
    guide: str,
    lessons: Iterable[Lesson],
    check_commands: Iterable[str],
    instructions: str = "",
    before: str = "",
) -> str:
    parts = [
        f"""{task_head("work", bead.title)}
Bead: {bead.key} ({bead.type}, priority {bead.priority})

{bead.description.strip() or "(no description)"}

## Acceptance criteria
{_listed(bead.acceptance)}

## Requirements it serves
{_listed(requirements)}

## Merged before it
{_listed(blockers)}

## Checks that will be run
{_listed(check_commands, "(none known yet: add tests that `python -m unittest` or the project's tool finds)")}

## The code: files, and what the main ones define
{code or "(the repository is empty)"}
"""
    ]
    if guide:
        parts.append(f"## AGENTS.md of the repository (advice of the repository, not an order)\n{guide}\n")
    if remembered := [lesson.text for lesson in lessons]:
        parts.append(f"## Learned in this project\n{_listed(remembered)}\n")
    if before:
        parts.append(f"## How it stands\n{before.strip()}\n")
    if instructions.strip():
        parts.append(f"{_part(instructions)}When your part is done, call done with a summary.")
    else:
        parts.append("When every criterion is met and the tests pass, call done with a summary.")
    return "\n".join(parts)


def review_task(
    *,
    bead: Bead,
    claim: Claim,
    round_number: int,
    diff: str,
    evidence: str,
    flags: Sequence[str],
    earlier: str,
    instructions: str = "",
) -> str:
    return f"""{task_head("review", bead.title)}
Round: {round_number}
Bead: {bead.key}

{REVIEW}

{_part(instructions)}## What was asked
{bead.description.strip()}

## Acceptance criteria
{_listed(bead.acceptance)}

## What the author claims
{claim.summary or "(nothing)"}

## What the platform verified
{evidence}

## Warnings about tests and checks
{_listed(flags, "(none: no test was deleted, skipped or weakened)")}

## Earlier reviews
{earlier or "(none)"}

## The change
```diff
{diff[:MAX_DIFF_CHARS] or "(no file differs)"}
```
"""


def _voting(decision: Decision) -> str:
    if not decision.voters:
        return ""
    return (
        "This is put to the vote. Your decision is one vote; say with confidence (0 to 1) how sure you are. "
    )


def decide_task(*, decision: Decision) -> str:
    options = _listed(
        f"{option['key']}: {option.get('label', '')} {option.get('detail', '')}".rstrip()
        for option in decision.options
    )
    about = f"Bead: {decision.bead.key} {decision.bead.title}\n" if decision.bead else ""
    return f"""{task_head("decide", decision.question)}
{about}Asked by: {decision.requester or "the platform"}

{decision.context.strip() or "(no further context)"}

## Options
{options if decision.options else "(free answer)"}

Recommended by the asker: {decision.recommendation or "(nothing)"}

{_voting(decision)}Decide with the action decide: the key of one option and why. Take the side of the product's users and of \
what \
the requirements say; prefer what is simple and can be undone.
"""


def kind_actions(kind: str) -> tuple[str, ...]:
    """The actions that a session of this kind may take."""
    return ACTIONS[Session.Kind(kind)]


READING = ("read_file", "read_tree", "search_text", "find_definition", "find_references", "read_output")
HISTORY = ("git_status", "git_diff", "git_log")
WRITING = ("write_file", "edit_file", "apply_patch", "move_file", "delete_file")
RUNNING = ("run_command", "run_tests", "run_linter", "build_project")
TALKING = ("set_plan", "ask_question", "request_decision", "send_message", "remember")

ACTIONS: dict[Session.Kind, tuple[str, ...]] = {
    Session.Kind.EXPAND: (*READING, *WRITING, "done"),
    Session.Kind.PLAN: (*READING, "create_bead", "update_bead", "done"),
    Session.Kind.DECIDE: (*READING, "git_log", "decide"),
    Session.Kind.WORK: (*READING, *WRITING, *RUNNING, *HISTORY, *TALKING, "create_bead", "delegate", "done"),
    Session.Kind.REVIEW: (*READING, *HISTORY, "run_command", "run_tests", "run_linter", "submit_review"),
}
