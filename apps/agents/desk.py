"""The desk: what agents ask the platform to do. One object serves one turn of one session.

Each effect carries an origin made of session, turn and place in the turn, so that a turn which is acted on
again after a crash finds what it did instead of doing it twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apps.agents.asking import command_ask
from apps.agents.authority import voice_of
from apps.agents.criteria import criteria_match
from apps.agents.delegation import DELEGATION_S, delegation_await, delegation_check
from apps.agents.lessons import note_remember
from apps.agents.letters import message_send
from apps.agents.models import Claim, Persona, Session
from apps.agents.orchestration import Order, carry_out, instruction_of
from apps.agents.org_chart import superiors_of
from apps.agents.personas import role_resolve, roles_of
from apps.agents.proof import claim_create, review_create
from apps.agents.safety import descent_check
from apps.agents.seat import Seat
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.core.errors import BadInput, Conflict, NotFound
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, decision_request, vote_cast
from apps.projects.models import Project

if TYPE_CHECKING:
    from apps.agents.actions import (
        AskQuestion,
        CreateBead,
        Decide,
        Delegate,
        Done,
        Orchestrate,
        ReadOutput,
        Remember,
        RequestDecision,
        SendMessage,
        SubmitReview,
        UpdateBead,
    )
    from apps.agents.results import CheckReport
    from apps.commands.judging import Judgement

MAX_PLAN_BEADS = 200


class PlatformDesk:
    """Implements `apps.agents.actions.Desk`; `waits_for` and `claim_id` tell the loop what a turn led to."""

    def __init__(self, seat: Seat, *, turn: int, run_id: int | None) -> None:
        self.seat, self.session, self.turn, self.run_id = seat, seat.session, turn, run_id
        self.waits_for: int | None = None
        self.claim_id: int | None = None
        self.awaits: list[tuple[int, float]] = []
        self.asks: dict[str, int] = {}  # a command that waits for a person: the decision and its place
        self.check: Callable[[str], CheckReport] | None = None

    def _origin(self, index: int) -> str:
        return f"session:{self.session.pk}:{self.turn}:{index}"

    def _beads(self) -> Any:
        return Bead.objects.filter(project_id=self.session.project_id)

    # -- planning ----------------------------------------------------------------------------------

    def bead_create(self, action: CreateBead, index: int) -> str:
        if self.session.kind == Session.Kind.PLAN:
            return self._draft(action, index)
        blockers = [self._find(reference) for reference in action.blocked_by]
        self._check_descent(action.title, index)
        bead = bead_create(
            project=self.session.project,
            title=action.title,
            type=action.type,
            description=action.description,
            acceptance=action.acceptance,
            paths=action.paths,
            priority=action.priority,
            role=self._role(action.role),
            parent=self._find(action.parent) if action.parent else None,
            blocked_by=blockers,
            labels=["discovered"],
            origin=self._origin(index),
            actor=self.session.agent.name,
        )
        return f"Created {bead.key}: {bead.title}. It is worked on when its turn comes."

    def _check_descent(self, title: str, index: int) -> None:
        # A turn that is acted on again finds what it made.
        if not self._beads().filter(origin=self._origin(index)).exists():
            descent_check(self.session.bead, title)

    def _draft(self, action: CreateBead, index: int) -> str:
        """A bead of a plan: references stay as they are until the whole plan is checked."""
        origin = self._origin(index)
        same = self._beads().filter(title__iexact=action.title.strip()).exclude(origin=origin).first()
        if same is not None:
            raise Conflict(
                f"There is a bead {same.key} titled {same.title!r} already.", hint="Use update_bead."
            )
        if self._beads().count() >= MAX_PLAN_BEADS:
            raise Conflict(f"A plan has at most {MAX_PLAN_BEADS} beads.", hint="Make the stories larger.")
        bead = bead_create(
            project=self.session.project,
            title=action.title,
            type=action.type,
            description=action.description,
            acceptance=action.acceptance,
            paths=action.paths,
            priority=action.priority,
            role=action.role,
            status=Bead.Status.DEFERRED,
            origin=origin,
            actor=self.session.agent.name,
        )
        self._redraft(
            bead,
            {
                "parent": action.parent or "",
                "blocked_by": list(action.blocked_by),
                "requirements": list(action.requirements),
                "ref": action.ref or "",
                "paths": list(action.paths),
            },
        )
        return f"Planned {bead.key}: {bead.title}"

    def _redraft(self, bead: Bead, draft: dict[str, Any]) -> None:
        Bead.objects.filter(pk=bead.pk).update(draft={**bead.draft, **draft})

    def bead_update(self, action: UpdateBead) -> str:
        if self.session.kind != Session.Kind.PLAN:
            raise BadInput(
                "Beads are changed in planning only.", hint="Create a new bead, or send a message."
            )
        bead = self._find(action.bead)
        given = action.model_dump(exclude_unset=True, exclude={"bead"})
        if given.pop("drop", False):
            Bead.objects.filter(pk=bead.pk, status=Bead.Status.DEFERRED).delete()
            return f"Dropped {bead.key} from the plan."
        references: dict[str, Any] = {
            key: given.pop(key) for key in ("parent", "blocked_by", "requirements") if key in given
        }
        given = {key: value for key, value in given.items() if key in PLAN_FIELDS and value is not None}
        if given:
            Bead.objects.filter(pk=bead.pk, status=Bead.Status.DEFERRED).update(**given)
        if references:
            self._redraft(bead, references)
        return f"Changed {bead.key}: {', '.join([*given, *references]) or 'nothing'}."

    def _find(self, reference: str) -> Bead:
        """A bead of this project by key, ref or title."""
        wanted = reference.strip()
        beads = self._beads()
        found = (
            beads.filter(key__iexact=wanted).first()
            or beads.filter(title__iexact=wanted).first()
            or next((bead for bead in beads.exclude(draft={}) if bead.draft.get("ref") == wanted), None)
        )
        if found is None:
            raise NotFound(
                f"There is no bead {wanted!r} in this project.", hint="Give its key or its exact title."
            )
        return found  # type: ignore[no-any-return]

    def _role(self, name: str) -> str:
        role = role_resolve(name, roles_of(Persona.objects.for_organization(self.seat.organization_id)))
        if role is None:
            raise BadInput(f"There is no role {name!r} in this team.")
        return role

    def bead_delegate(self, action: Delegate, index: int) -> str:
        self._check_descent(action.title, index)
        if action.wait and not self._beads().filter(origin=self._origin(index)).exists():
            delegation_check(self.session)
        bead = bead_create(
            project=self.session.project,
            title=action.title,
            description=action.description,
            acceptance=action.acceptance,
            role=self._role(action.role),
            parent=self.session.bead.parent if self.session.bead else None,
            labels=["delegated"],
            origin=self._origin(index),
            actor=self.session.agent.name,
        )
        if not action.wait:
            return f"Delegated as {bead.key} to {bead.role}. You need not wait for it."
        self.awaits.append((delegation_await(bead, self.session, self.run_id), DELEGATION_S))
        return f"Delegated as {bead.key} to {bead.role}. You get what came of it as the next message."

    # -- asking ------------------------------------------------------------------------------------

    def question_ask(self, action: AskQuestion, index: int) -> str:
        options = [{"key": option, "label": option} for option in action.options or ()]
        # A project that runs by itself has its own persona for what may be decided; the rest asks people.
        asks = self.session.project.approval == Project.Approval.ASK
        return self._ask(action.question, options, index, needs_person=asks)

    def decision_request(self, action: RequestDecision, index: int) -> str:
        options = [option.model_dump(exclude_none=True) for option in action.options]
        return self._ask(
            action.question,
            options,
            index,
            recommendation=action.recommendation or "",
            context=action.context or "",
            needs_person=action.needs_person,
            asked_of=next(iter(superiors_of(self.session.project_id, self.session.agent.role)), ""),
        )

    def _ask(self, question: str, options: list[dict[str, str]], index: int, **more: Any) -> str:
        decision = decision_request(
            project=self.session.project,
            bead=self.session.bead,
            question=question,
            options=options,
            requester=self.session.agent.name,
            run_id=self.run_id,
            origin=self._origin(index),
            **more,
        )
        self.waits_for = decision.pk
        return "Asked. You get the answer as the next message."

    def command_ask(self, judgement: Judgement, index: int) -> str:
        decision = command_ask(
            seat=self.seat, judgement=judgement, origin=self._origin(index), run_id=self.run_id
        )
        self.asks = {"decision_id": decision.pk, "index": index}
        return "A person is asked whether this may run. What comes of it is the next message."

    def message_send(self, action: SendMessage) -> str:
        said = f"{action.to_role}\n{action.subject}\n{action.body}".encode()
        message = message_send(
            session=self.session,
            to=action.to_role,
            subject=action.subject,
            body=action.body,
            origin=f"{self._origin(0)}:{hashlib.sha256(said).hexdigest()[:12]}",
        )
        who = message.to_agent.name if message.to_agent else f"whoever of {message.to_role} works next"
        return f"Sent; {who} reads it in the next prompt."

    def note_remember(self, action: Remember) -> str:
        mark = hashlib.sha256(action.note.encode("utf-8", "replace")).hexdigest()[:16]
        origin = f"session:{self.session.pk}:{self.turn}:{mark}"
        return note_remember(session=self.session, text=action.note, origin=origin)

    def orchestrate(self, action: Orchestrate, index: int) -> str:
        order = Order(
            instruction=instruction_of(action.instruction, action.target, action.options),
            project=self.session.project,
            agent=self.session.agent,
            key=self._origin(index),
            session=self.session,
            run_id=self.run_id,
            check=self.check,
        )
        carried = carry_out(order)
        self.awaits += carried.awaits
        return carried.text

    def output_read(self, action: ReadOutput) -> str:
        turn, _, number = action.output.strip().partition(".")
        kept = self.session.outputs.filter(turn=int(turn), number=int(number)).values_list("text", flat=True)
        if (whole := kept.first()) is not None:
            return str(whole)
        results = self.session.turns.filter(number=int(turn)).values_list("results", flat=True).first()
        shown = [one for one in results or () if "id" in one]
        if not 1 <= int(number) <= len(shown):
            raise NotFound(f"There is no output {action.output} in this session.")
        return str(shown[int(number) - 1].get("text", ""))

    # -- finishing ---------------------------------------------------------------------------------

    def work_claim(self, action: Done) -> str:
        if self.session.kind == Session.Kind.PLAN:
            return "The platform checks the plan now."
        commit = self.seat.keep()
        changed = [path for _, path in self.seat.hub.changed(self.session.base_commit, commit)]
        if marked := self.seat.workspace().conflict_markers(changed):
            raise Conflict(
                f"Conflict markers are left in {', '.join(marked)}.",
                hint="Resolve them, then call done again.",
            )
        if self.session.kind == Session.Kind.EXPAND:
            if not any(path.startswith("plans/") for path in changed):
                raise Conflict("plans/PRD.md is not written yet.", hint="Write it with write_file.")
            return "The platform keeps plans/PRD.md."
        claim = claim_create(
            session=self.session,
            commit=commit,
            tree=self.seat.hub.tree(commit),
            summary=action.summary,
            origin_turn=self.turn,
        )
        self.claim_id = claim.pk
        return f"Claim {claim.number} is kept at {commit[:10]}; the platform verifies it on a clean checkout."

    def review_submit(self, action: SubmitReview) -> str:
        claim = (
            Claim.objects.filter(bead=self.session.bead)
            .select_related("bead__project")
            .order_by("-number")
            .first()
        )
        if claim is None:
            raise NotFound("There is no claim to review.")
        said = [criterion.model_dump(exclude_none=True) for criterion in action.criteria]
        criteria, missing = criteria_match(claim.bead.acceptance, said)
        if action.verdict == "approve" and missing:
            raise BadInput(
                f"Your review says nothing of: {'; '.join(missing)}.",
                hint='Judge each: {"criterion": "<its words>", "met": true or false, "note": "..."}.',
            )
        unmet = [c["criterion"] for c in criteria if not c["met"]]
        if action.verdict == "approve" and unmet:
            raise BadInput(
                f"You approve although this is not met: {'; '.join(unmet)}.",
                hint="Reject, or say that it is met.",
            )
        review_create(
            session=self.session,
            claim=claim,
            verdict=action.verdict,
            comments=action.comments,
            criteria=criteria,
        )
        return f"Review recorded: {action.verdict}."

    def decision_decide(self, action: Decide) -> str:
        decision = Decision.objects.select_related("project").get(pk=self.session.decision_id or 0)
        if decision.status != Decision.Status.OPEN:
            return "It was answered already."
        voice = voice_of(self.session.agent)
        said: dict[str, Any] = {"choice": action.choice, "rationale": action.rationale, "agent": voice}
        if decision.voters:
            sure = 1.0 if action.confidence is None else action.confidence
            vote_cast(decision=decision, voter=voice.name, confidence=sure, **said)
            return "Voted."
        decision_decide(decision=decision, decider=voice.name, **said)
        return "Decided."


PLAN_FIELDS = ("title", "type", "description", "acceptance", "priority", "role")
