"""The workflows and activities that Loom itself offers to agents."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import Field

from apps.agents.first_commit import main_commit
from apps.agents.hub import Hub
from apps.agents.lessons import note_remember
from apps.agents.letters import message_send
from apps.agents.models import Persona, Session
from apps.agents.orchestration import Order
from apps.agents.personas import role_resolve, roles_of
from apps.agents.places import hub_path
from apps.agents.replies.language_values import duration
from apps.agents.verify import CHECK_TIMEOUT_S, project_check
from apps.beads.models import Bead
from apps.beads.services import bead_close, bead_create
from apps.core.errors import BadInput
from apps.engine.errors import Canceled
from apps.engine.flow import Handle, Retry, answers, call, current, flow, sleep, step, wait_for
from apps.engine.models import Run
from apps.engine.services import run_signal
from apps.events.bus import on
from apps.events.models import Event
from apps.projects.models import Project
from apps.workflows.language_catalog import ACTIVITIES, WORKFLOWS, Activity, Commission, Input, Startable

DELEGATE, REMIND, CHECKS = "language.delegate", "language.remind", "language.checks"
ENDED = "bead-ended"
SHOWN = 4_000


def role_named(name: str, project: Project) -> str:
    role = role_resolve(name, roles_of(Persona.objects.for_organization(project.organization_id)))
    if role is None:
        raise BadInput(f"There is no role {name!r} in this team.")
    return role


# -- delegate: a bead, and a run that ends when the bead does ----------------------------------------


class BeadInput(Input):
    title: str = Field(min_length=1, max_length=500)
    role: str = Field(min_length=1)
    description: str = ""
    acceptance: list[str] = Field(default_factory=list)
    priority: int = Field(default=2, ge=0, le=4)


class DelegateInput(BeadInput):
    type: Literal["task", "bug", "feature", "story", "chore"] = "task"
    labels: list[str] = Field(default_factory=list, max_length=20)


def delegate_prepare(
    commission: Commission, given: DelegateInput | BeadInput, options: dict[str, Any], **fixed: Any
) -> dict[str, Any]:
    bead = bead_make(commission, given, options, **fixed)
    return {"bead_id": bead.pk, "seconds": options.get("timeout"), "by": commission.agent.name}


def bead_make(commission: Commission, given: BeadInput, options: dict[str, Any], **fixed: Any) -> Bead:
    fields = given.model_dump() | fixed
    fields["role"] = role_named(given.role, commission.project)
    if "priority" not in given.model_fields_set:
        fields["priority"] = options.get("priority", fields["priority"])
    return bead_create(
        project=commission.project,
        **fields | {"labels": ["delegated", *fields.get("labels", [])]},
        origin=commission.key,
        actor=commission.agent.name,
    )


@flow(DELEGATE)
def delegate(bead_id: int, seconds: float | None, by: str) -> dict[str, Any]:
    answers("bead", partial(bead_stand, bead_id))
    try:
        heard = wait_for(ENDED, timeout=seconds)
    except Canceled:
        step(delegate_stop, bead_id=bead_id, by=by)
        raise
    return step(delegate_outcome, bead_id=bead_id, in_time=heard is not None)


def bead_stand(bead_id: int) -> dict[str, Any]:
    """What QUERY with TYPE: bead answers."""
    bead = Bead.objects.values("key", "title", "status", "stage", "assigned_to", "blocked_reason")
    return dict(bead.get(pk=bead_id))


def delegate_outcome(*, bead_id: int, in_time: bool) -> dict[str, Any]:
    bead = Bead.objects.get(pk=bead_id)
    return {
        "bead": bead.key,
        "status": bead.status if in_time else "timeout",
        "said": bead.close_reason or bead.blocked_reason,
        "commit": bead.merged_commit,
    }


def delegate_stop(*, bead_id: int, by: str) -> None:
    """What nobody has begun is taken back; work under way goes on, it is others' by now."""
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    if bead.status in {Bead.Status.OPEN, Bead.Status.DEFERRED}:
        bead_close(bead=bead, reason="Taken back by who delegated it.", actor=by)


@on("bead.closed")
def delegate_tell(event: Event) -> None:
    """Told twice does no harm: the run asks once, and an ended run never does."""
    runs = Run.objects.unfinished().filter(
        flow=DELEGATE, project_id=event.project_id, input__bead_id=event.bead_id
    )
    for run_id in runs.values_list("pk", flat=True):
        run_signal(run_id=run_id, name=ENDED)


# -- remind: a message later -------------------------------------------------------------------------


class RemindInput(Input):
    after: str
    to_role: str = Field(min_length=1)
    subject: str = Field(min_length=1, max_length=200)
    body: str = ""


def remind_prepare(commission: Commission, given: RemindInput, options: dict[str, Any]) -> dict[str, Any]:
    if commission.session is None:
        raise BadInput("A reminder needs the session that asks for it.")
    try:
        seconds = duration(given.after)
    except ValueError as error:
        raise BadInput(f"after of remind is not valid; expected {error}.") from None
    role = role_named(given.to_role, commission.project)
    return {
        "session_id": commission.session.pk,
        "seconds": seconds,
        "message": {"to_role": role, "subject": given.subject, "body": given.body},
    }


@flow(REMIND)
def remind(session_id: int, seconds: float, message: dict[str, str]) -> dict[str, Any]:
    sleep(seconds)
    step(remind_send, session_id=session_id, message=message)
    return {"sent_to": message["to_role"]}


def remind_send(*, session_id: int, message: dict[str, str]) -> None:
    session = Session.objects.select_related("project", "agent").get(pk=session_id)
    message_send(
        session=session,
        to=message["to_role"],
        subject=message["subject"],
        body=message["body"],
        origin=f"run:{current().run.pk}",
    )


# -- checks: does main still pass? -------------------------------------------------------------------


class NoInput(Input):
    pass


def checks_prepare(commission: Commission, given: NoInput, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "project_id": commission.project.pk,
        "attempts": options.get("retry", 0) + 1,
        "seconds": min(options.get("timeout") or CHECK_TIMEOUT_S, CHECK_TIMEOUT_S),
    }


@flow(CHECKS)
def checks(project_id: int, attempts: int, seconds: float) -> dict[str, Any]:
    retry = Retry(attempts=attempts, delay=10.0)
    output: dict[str, Any] = call(checks_run, retry=retry, project_id=project_id, seconds=seconds)
    return output


def checks_run(handle: Handle, project_id: int, seconds: float) -> dict[str, Any]:
    project = Project.objects.get(pk=project_id)
    hub, commit = Hub(hub_path(project_id)), main_commit(project)
    report = project_check(hub, project, commit, handle, timeout=seconds)
    return {"commit": commit, "passed": report.passed, "summary": report.summary()[:SHOWN]}


# -- activities ----------------------------------------------------------------------------------------


class ChecksInput(Input):
    kind: Literal["test", "lint", "build"] = "test"


def checks_act(order: Order, given: ChecksInput) -> str:
    if order.check is None:
        raise BadInput("Checks run in the worktree of a session.", hint="Use WORKFLOW: checks for main.")
    report = order.check(given.kind)
    return f"{'Passed' if report.passed else 'Failed'}. {report.summary()[:SHOWN]}"


class MessageInput(Input):
    to_role: str = Field(min_length=1)
    subject: str = Field(min_length=1, max_length=200)
    body: str = ""


def message_act(order: Order, given: MessageInput) -> str:
    role = role_named(given.to_role, order.project)
    message_send(
        session=_session(order), to=role, subject=given.subject, body=given.body, origin=f"order:{order.key}"
    )
    return f"Sent; the next session of {role} reads it."


class NoteInput(Input):
    note: str = Field(min_length=3, max_length=2000)


def note_act(order: Order, given: NoteInput) -> str:
    return note_remember(session=_session(order), text=given.note, origin=f"order:{order.key}")


def bead_act(order: Order, given: DelegateInput) -> str:
    commission = Commission(order.project, order.agent, order.key, order.session)
    bead = bead_make(commission, given, order.instruction.options)
    return f"Created {bead.key}: {bead.title}. It is worked on when its turn comes."


def _session(order: Order) -> Session:
    if order.session is None:
        raise BadInput("This needs a session.")
    return order.session


def _typed(kind: str) -> Any:
    def prepare(commission: Commission, given: BeadInput, options: dict[str, Any]) -> dict[str, Any]:
        fixed = {"type": "feature", "labels": ["ui"]} if kind == "ui" else {"type": kind}
        return delegate_prepare(commission, given, options, **fixed)

    return prepare


WORKFLOWS["delegate"] = Startable(
    "A bead for another role; the run ends when the bead is closed.",
    DELEGATE, DelegateInput, delegate_prepare, needs="delegate", takes=frozenset({"TIMEOUT", "PRIORITY"}),
)  # fmt: skip
for _kind in ("bug", "chore", "feature", "story", "task", "ui"):
    WORKFLOWS[_kind] = Startable(
        f"The same for a {_kind} bead, which follows its own workflow definition.",
        DELEGATE, BeadInput, _typed(_kind), needs="delegate", takes=frozenset({"TIMEOUT", "PRIORITY"}),
    )  # fmt: skip
WORKFLOWS["remind"] = Startable("A message to a role after a time.", REMIND, RemindInput, remind_prepare)
WORKFLOWS["checks"] = Startable(
    "The project's checks on a clean checkout of main.",
    CHECKS, NoInput, checks_prepare, takes=frozenset({"TIMEOUT", "RETRY"}),
)  # fmt: skip
ACTIVITIES["run_checks"] = Activity("The project's checks in your worktree.", ChecksInput, checks_act)
ACTIVITIES["send_message"] = Activity("Tell a role something.", MessageInput, message_act)
ACTIVITIES["notify"] = ACTIVITIES["send_message"]
ACTIVITIES["remember"] = Activity("Keep a lesson for later sessions.", NoteInput, note_act)
ACTIVITIES["create_bead"] = Activity("A bead for a role.", DelegateInput, bead_act, needs="create_bead")
