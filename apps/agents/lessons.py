"""Lessons: learned from failures, reviews and answers, the same one once; writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.agents.lesson_models import Lesson, LessonSource
from apps.agents.lesson_search import alike
from apps.agents.models import Session
from apps.agents.safety import fingerprint
from apps.agents.secrets import project_masker
from apps.beads.models import Bead
from apps.core.errors import BadInput, Conflict
from apps.events.bus import emit
from apps.projects.models import Project

TEXT_CHARS, ABOUT_CHARS = 600, 400
MOST = 1_000  # active lessons of a project; the most faded one makes room for a new one


@transaction.atomic
def lesson_learn(
    *,
    project: Project,
    text: str,
    kind: str,
    origin: str,
    about: str = "",
    bead: Bead | None = None,
    session: Session | None = None,
) -> Lesson | None:
    """Keep a lesson, or confirm the one that says the same; from one `origin` once.

    None where people have put it aside.
    """
    text = _clean(project, text)
    Project.objects.select_for_update(no_key=True).values_list("pk").get(pk=project.pk)
    known = LessonSource.objects.select_related("lesson").filter(origin=origin).first()
    if known is not None:
        return known.lesson
    lesson = _same(project, text)
    if lesson is None:
        _make_room(project)
        lesson = _create(project, text, kind, about)
    elif lesson.is_active:
        Lesson.objects.filter(pk=lesson.pk).update(learned=F("learned") + 1, refreshed_at=timezone.now())
        lesson.refresh_from_db()
    LessonSource.objects.create(lesson=lesson, origin=origin, bead=bead, session=session)
    _tell(lesson, project, "lesson.learned", session.agent.name if session else "loom", origin=origin)
    return lesson if lesson.is_active else None


def note_remember(*, session: Session, text: str, origin: str) -> str:
    """What an agent wants to be remembered; the words for it."""
    kept = lesson_learn(
        project=session.project,
        text=text,
        kind=Lesson.Kind.AGENT,
        origin=origin,
        about=session.bead.title if session.bead else "",
        bead=session.bead,
        session=session,
    )
    if kept is None:
        return "People have put this lesson aside; it is not kept."
    return "Remembered for later sessions of this project."


@transaction.atomic
def lesson_create(*, project: Project, text: str, actor: str, is_pinned: bool = False) -> Lesson:
    """What a person wants all agents of the project to know."""
    text = _clean(project, text)
    Project.objects.select_for_update(no_key=True).values_list("pk").get(pk=project.pk)
    if Lesson.objects.filter(project=project, fingerprint=fingerprint(text)).exists():
        raise Conflict("This project has that lesson already.")
    lesson = _create(project, text, Lesson.Kind.PERSON, "", is_pinned=is_pinned)
    _tell(lesson, project, "lesson.learned", actor, origin="person")
    return lesson


@transaction.atomic
def lesson_update(*, lesson: Lesson, actor: str, **changes: Any) -> Lesson:
    """Change `text`, `is_active` or `is_pinned`; what a person edits is fresh again."""
    if unknown := changes.keys() - {"text", "is_active", "is_pinned"}:
        raise BadInput(f"A lesson's {', '.join(sorted(unknown))} cannot be changed.")
    if "text" in changes:
        changes["text"] = _clean(lesson.project, changes["text"])
        changes["fingerprint"] = fingerprint(changes["text"])
        rivals = Lesson.objects.filter(project_id=lesson.project_id, fingerprint=changes["fingerprint"])
        if rivals.exclude(pk=lesson.pk).exists():
            raise Conflict("This project has that lesson already.")
    Lesson.objects.filter(pk=lesson.pk).update(
        **changes, refreshed_at=timezone.now(), updated_at=timezone.now()
    )
    lesson.refresh_from_db()
    _tell(lesson, lesson.project, "lesson.changed", actor, changed=sorted(changes))
    return lesson


@transaction.atomic
def lesson_delete(*, lesson: Lesson, actor: str) -> None:
    _tell(lesson, lesson.project, "lesson.deleted", actor)
    lesson.delete()


def lessons_used(ids: Collection[int]) -> None:
    """Work that was told of these was merged: they have proven themselves; inside a transaction."""
    if ids:
        Lesson.objects.filter(pk__in=ids).update(used=F("used") + 1, refreshed_at=timezone.now())


def _clean(project: Project, text: str) -> str:
    text = " ".join(project_masker(project.pk).text(text).replace("\0", "").split())
    if len(text) < 3:
        raise BadInput("A lesson needs a few words.")
    return text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 3]}..."


def _same(project: Project, text: str) -> Lesson | None:
    """The lesson that says the same, also one that was put aside."""
    rows: Iterable[Lesson] = Lesson.objects.filter(project=project).order_by("-id")[:MOST]
    mark = fingerprint(text)
    return next((row for row in rows if row.fingerprint == mark or alike(row.text, text)), None)


def _create(project: Project, text: str, kind: str, about: str, *, is_pinned: bool = False) -> Lesson:
    return Lesson.objects.create(
        project=project,
        text=text,
        kind=kind,
        about=" ".join(about.split())[:ABOUT_CHARS],
        fingerprint=fingerprint(text),
        is_pinned=is_pinned,
        refreshed_at=timezone.now(),
    )


def _make_room(project: Project) -> None:
    rows = Lesson.objects.filter(project=project, is_active=True, is_pinned=False)
    if rows.count() >= MOST:
        oldest = rows.order_by("refreshed_at").values_list("pk", flat=True)[:1]
        Lesson.objects.filter(pk__in=list(oldest)).delete()


def _tell(lesson: Lesson, project: Project, kind: str, actor: str, **data: Any) -> None:
    emit(
        kind,
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"lesson:{lesson.pk}",
        actor=actor,
        text=lesson.text,
        of=lesson.kind,
        **data,
    )
