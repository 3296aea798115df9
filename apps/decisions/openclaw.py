"""Answers that come from a chat, through an OpenClaw gateway that signs with the project's own secret.

A message of the session `loom:decision:<id>` answers that decision, in the name of who sent it. People write
"yes" where the question has an option `approve`: the words of a chat are read as the option they mean.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.core.errors import LoomError, NotFound, Unauthenticated
from apps.core.signing import digest_of
from apps.decisions.models import ChatGateway, Decision
from apps.decisions.services import decision_decide
from apps.events.bus import emit
from apps.projects.models import Project
from apps.providers.keys import seal, unseal

SESSION = re.compile(r"loom:(decision|project):([1-9][0-9]{0,17})", re.ASCII)
RECEIVED, PROCESSED = "openclaw.message_received", "openclaw.reply_processed"
SAID_CHARS = 2_000  # of a message, in its event
# What people write, by the word that the original takes it for.
MEANINGS: dict[str, frozenset[str]] = {
    "approved": frozenset({"approve", "approved", "yes", "lgtm", "accept"}),
    "denied": frozenset({"deny", "denied", "no", "reject", "rejected"}),
    "needs_more_info": frozenset({"needs_more_info", "more info", "need more info", "needs more info"}),
}


@dataclass(frozen=True)
class ChatMessage:
    session_key: str
    text: str
    sender: str = ""
    channel: str = ""
    message_id: str = ""

    @property
    def author(self) -> str:
        return f"openclaw:{self.sender or 'somebody'}"


@transaction.atomic
def gateway_secret_make(*, project: Project, actor: str = "") -> str:
    """A new secret for the gateway to sign with; it is shown once, and replaces the one before."""
    secret = secrets.token_urlsafe(32)
    ChatGateway.objects.update_or_create(project=project, defaults={"secret_sealed": seal(secret)})
    emit(
        "project.openclaw_secret",
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"project:{project.slug}",
        actor=actor,
    )
    return secret


@transaction.atomic
def gateway_remove(*, project: Project, actor: str = "") -> None:
    """Take no messages any more."""
    if ChatGateway.objects.filter(project=project).delete()[0]:
        emit(
            "project.openclaw_off",
            organization_id=project.organization_id,
            project_id=project.pk,
            subject=f"project:{project.slug}",
            actor=actor,
        )


def message_take(*, body: bytes, signature: str, message: ChatMessage) -> dict[str, Any]:
    """What came of it, in the original's words. Who signed it wrong learns nothing of what there is."""
    if not ChatGateway.objects.exists():
        raise NotFound("No project takes messages of OpenClaw.", hint="Make a secret for one first.")
    project, decision = _meant(message.session_key)
    if project is None or not _is_signed(project, body, signature):
        raise Unauthenticated(
            "The message is not signed with the secret of the project that its session is about.",
            hint="Sessions are loom:decision:<id> and loom:project:<id>; "
            "POST /projects/{id}/openclaw-secret makes a secret.",
        )
    _tell(RECEIVED, project, message, text=message.text[:SAID_CHARS])
    if decision is None:
        return {"status": "received", "session_key": message.session_key, "processed": False}
    try:
        answered = _decided(decision, message)
    except LoomError as error:
        return {"status": "error", "decision_id": str(decision.pk), "error": error.told}
    return {"status": "resolved", "decision_id": str(answered.pk), "decision": answered.choice}


def _meant(session_key: str) -> tuple[Project | None, Decision | None]:
    """The project that a session is about, and its decision where it is about one."""
    match = SESSION.fullmatch(session_key)
    if match is None:
        return None, None
    pk = int(match[2])
    if match[1] == "project":
        return Project.objects.filter(pk=pk).first(), None
    decision = Decision.objects.filter(pk=pk).select_related("project").first()
    return (decision.project, decision) if decision else (None, None)


def _is_signed(project: Project, body: bytes, signature: str) -> bool:
    sealed = ChatGateway.objects.filter(project=project).values_list("secret_sealed", flat=True).first()
    if not sealed:
        return False
    made = digest_of(body, unseal(sealed))
    return hmac.compare_digest(made.encode(), signature.removeprefix("sha256=").lower().encode())


def _decided(decision: Decision, message: ChatMessage) -> Decision:
    """Answered; the same message once more, because its answer was lost on the way, finds it so."""
    choice = choice_meant(decision.keys, message.text)
    if decision.status == Decision.Status.DECIDED and (decision.choice, decision.decider) == (
        choice,
        message.author[:120],
    ):
        return decision
    said = f"Said on {message.channel}: {message.text.strip()}" if message.channel else message.text.strip()
    answered = decision_decide(
        decision=decision, choice=choice, decider=message.author, rationale=said[:SAID_CHARS]
    )
    _tell(
        PROCESSED,
        decision.project,
        message,
        decision_id=answered.pk,
        decision=answered.choice,
        decider_id=message.author,
    )
    return answered


def choice_meant(keys: list[str], text: str) -> str:
    """The option a text stands for; without options the original's word for it; else the text as it is."""
    said = " ".join(text.split()).casefold()
    for key in keys:
        if key.casefold() == said:
            return key
    for word, synonyms in MEANINGS.items():
        if said.rstrip(".!") in synonyms:
            meant = [key for key in keys if key.casefold() in synonyms]
            return meant[0] if len(meant) == 1 else text.strip() if keys else word
    return text.strip()


def _tell(kind: str, project: Project, message: ChatMessage, **data: Any) -> None:
    with transaction.atomic():
        emit(
            kind,
            organization_id=project.organization_id,
            project_id=project.pk,
            subject=message.session_key,
            actor=message.author,
            session_key=message.session_key,
            sender=message.sender,
            channel=message.channel,
            message_id=message.message_id,
            **data,
        )
