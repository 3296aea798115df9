"""What a project learns from reviews, repairs, answers and agents; and how people see and correct it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import Role
from apps.agents.lesson_models import Lesson, LessonSource
from apps.agents.lesson_search import FADED, HALF_LIFE, SHOWN_CHARS, bm25, lessons_for, ranked, strength
from apps.agents.lessons import lesson_create, lesson_learn, lesson_update, lessons_used
from apps.core.errors import BadInput, Conflict
from apps.decisions.services import decision_decide
from apps.events import bus
from apps.events.models import Event
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write
from tests.world import World, client_of, world_build

Open = Callable[..., Studio]
API = "/api/v1/lessons"
RED = """import unittest


class T(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(1, 2)
"""


@pytest.fixture
def world(db: None) -> World:
    world = world_build("acme")
    Lesson.objects.all().delete()
    return world


def learn(world: World, text: str, origin: str = "", **more: Any) -> Lesson | None:
    return lesson_learn(
        project=world.project, text=text, kind=Lesson.Kind.REVIEW, origin=origin or text[:100], **more
    )


# -- what teaches ----------------------------------------------------------------------------------


def test_a_rejected_review_a_repair_and_an_answer_teach_and_later_work_is_told(open_studio: Open) -> None:
    told: list[str] = []

    def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
        if kind == "review":
            if title == "First" and "Round: 1" in messages[1]["content"]:
                return [("submit_review", {"verdict": "reject", "comments": "Round amounts half up."})]
            return APPROVE
        if kind != "work":
            return "That is for a person to say."
        if title != "First":
            told.append(messages[1]["content"])
            return [write(f"{title}.txt", "x\n"), done()]
        return [
            [("ask_question", {"question": "Which currency?", "options": ["Euro", "Dollar"]})],
            [write("tests/test_sum.py", RED), done("Tests.")],
            [write("tests/test_sum.py", RED.replace("(1, 2)", "(2, 2)")), done("Expected two.")],
            [write("a.txt", "half up\n"), done("Rounded.")],
        ][replies(messages)]

    studio = open_studio(model)
    studio.bead("First")
    studio.run()
    question = studio.open_question()
    decision_decide(decision=question, choice="Euro", decider="ann", rationale="Our customers pay in it.")
    studio.run()
    bus.deliver_all(list(Event.objects.order_by("id")))  # every event a second time
    kinds = list(Lesson.objects.order_by("id").values_list("kind", "learned"))
    assert sorted(kinds) == [("answer", 1), ("check", 1), ("review", 1)], list(Lesson.objects.values("text"))
    texts = " ".join(Lesson.objects.values_list("text", flat=True))
    assert "Reviewers ask for this: Round amounts half up." in texts
    assert "Which currency?" in texts
    assert "Euro" in texts
    assert "What mended it: Expected two." in texts

    second = studio.bead("Second", description="Round amounts of money.")
    studio.run()
    assert "## Learned in this project\n- Reviewers ask for this: Round amounts half up." in told[0]
    session = studio.sessions("work")[-1]
    assert session.bead_id == second.pk
    assert len(session.lessons) == 3
    assert set(Lesson.objects.values_list("used", flat=True)) == {1}, "what merged work was told of is proven"


def test_the_same_is_kept_once_however_it_is_put(world: World) -> None:
    first = learn(world, "Amounts are rounded half up, to 2 places.", "review:1")
    again = learn(world, "amounts, rounded half up: to 2 places!", "review:2")
    assert first is not None
    assert again == first
    assert Lesson.objects.get().learned == 2
    learn(world, "Amounts are rounded half up, to 2 places.", "review:2")
    assert (Lesson.objects.get().learned, LessonSource.objects.count()) == (2, 2), "one origin teaches once"
    learn(world, "Dates are stored in UTC.", "review:3")
    assert Lesson.objects.count() == 2


def test_what_people_put_aside_is_not_learned_again(world: World) -> None:
    lesson = learn(world, "Never write tests for the importer.", "session:1")
    assert lesson is not None
    lesson_update(lesson=lesson, actor="ann", is_active=False)
    assert learn(world, "Never write tests for the importer.", "session:2") is None
    assert Lesson.objects.get().learned == 1


def test_secrets_and_empty_words_are_not_kept(world: World) -> None:
    with pytest.raises(BadInput):
        learn(world, " \n ")
    kept = learn(world, "x" * 5_000)
    assert kept is not None
    assert len(kept.text) == 600


# -- which are shown -------------------------------------------------------------------------------


def test_the_words_of_the_work_choose(world: World) -> None:
    for text in (
        "The CSV importer must skip the byte order mark.",
        "Use Decimal for amounts, never float.",
        "The command line exits with 2 on bad arguments.",
    ):
        learn(world, text)
    lessons = list(Lesson.objects.all())
    assert "Decimal" in ranked(lessons, "Sum the amounts of a bill")[0].text
    assert "CSV" in ranked(lessons, "csvImporter: read files")[0].text
    assert "command" in ranked(lessons, "Arguments of commands")[0].text
    assert bm25("nothing in common", [lesson.text for lesson in lessons]) == [0, 0, 0]
    assert lessons_for([], "x") == []


def test_they_fade_and_are_kept_alive_by_use_and_pins(world: World) -> None:
    fresh, old, pinned = (learn(world, text) for text in ("Alpha one.", "Beta two.", "Gamma three."))
    assert fresh is not None
    assert old is not None
    assert pinned is not None
    now = timezone.now()
    Lesson.objects.exclude(pk=fresh.pk).update(refreshed_at=now - 10 * HALF_LIFE)
    Lesson.objects.filter(pk=pinned.pk).update(is_pinned=True)
    old.refresh_from_db()
    assert strength(old, now) < FADED
    assert strength(fresh, now) == pytest.approx(1, abs=0.01)
    rows = list(Lesson.objects.all())
    assert [lesson.pk for lesson in ranked(rows, "beta two")] == [pinned.pk, fresh.pk]
    lessons_used([old.pk])
    rows = list(Lesson.objects.all())
    assert [lesson.pk for lesson in ranked(rows, "beta two")] == [pinned.pk, old.pk, fresh.pk]
    old.refresh_from_db()
    assert strength(old, now + timedelta(days=1)) > 1, "what has proven itself is stronger than what is new"


def word(number: int) -> str:
    return "word" + "abcdefghij"[number // 10] + "abcdefghij"[number % 10]


def test_a_prompt_has_room_for_so_many(world: World) -> None:
    for number in range(40):
        learn(world, f"About {word(number)}: " + f"{word(number)} " * 50)
    chosen = lessons_for(list(Lesson.objects.all()), word(7))
    assert word(7) in chosen[0].text
    assert sum(len(lesson.text) for lesson in chosen) <= SHOWN_CHARS


# -- people ----------------------------------------------------------------------------------------


def test_people_read_write_and_correct_them_over_http(world: World) -> None:
    ann = client_of(world)
    made = ann.post(API, {"project_id": world.project.pk, "text": "Use tabs."}, "application/json")
    assert made.status_code == 201
    body = made.json()
    assert (body["kind"], body["strength"], body["sources"]) == ("person", 1.0, [])
    twice = ann.post(API, {"project_id": world.project.pk, "text": "Use tabs."}, "application/json")
    assert twice.status_code == 409
    changed = ann.patch(f"{API}/{body['id']}", {"text": "Use spaces.", "is_pinned": True}, "application/json")
    assert (changed.json()["text"], changed.json()["is_pinned"]) == ("Use spaces.", True)
    learn(world, "Something else.", "review:9", bead=world.beads[0])
    found = ann.get(f"{API}?search=else&project_id={world.project.pk}").json()
    assert [one["sources"][0]["origin"] for one in found] == ["review:9"]
    assert ann.patch(f"{API}/{body['id']}", {"text": ""}, "application/json").status_code == 400
    assert ann.delete(f"{API}/{body['id']}").status_code == 403, "deleting is for administrators"
    assert client_of(world, Role.ADMIN, "root").delete(f"{API}/{body['id']}").status_code == 204
    kinds = set(Event.objects.filter(kind__startswith="lesson.").values_list("kind", flat=True))
    assert kinds == {"lesson.learned", "lesson.changed", "lesson.deleted"}


def test_strangers_and_viewers(world: World) -> None:
    lesson = lesson_create(project=world.project, text="Ours alone.", actor="ann")
    stranger = client_of(world_build("other"), name="eve")
    assert stranger.get(f"{API}/{lesson.pk}").status_code == 404
    assert "Ours" not in stranger.get(API).content.decode()
    wanted = {"project_id": world.project.pk, "text": "Mine."}
    assert stranger.post(API, wanted, "application/json").status_code == 404
    viewer = client_of(world, Role.VIEWER, "vic")
    assert viewer.get(f"{API}/{lesson.pk}").status_code == 200
    assert viewer.patch(f"{API}/{lesson.pk}", {"text": "No."}, "application/json").status_code == 403
    assert Client().get(API).status_code == 401


def test_a_list_takes_a_constant_number_of_queries(world: World) -> None:
    ann = client_of(world)
    counts = []
    for number in (2, 10):
        for extra in range(number):
            learn(world, f"L{number}{extra} is w{number}{extra} x{extra}", f"o:{number}:{extra}")
        with CaptureQueriesContext(
            connection,
        ) as asked:
            ann.get(API)
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_admin_pages_write_through_services(world: World) -> None:
    root = Client()
    world.staff.is_superuser = True
    world.staff.save()
    root.force_login(world.staff)
    page = "/admin/agents/lesson/"
    root.post(f"{page}add/", {"project": world.project.pk, "text": "Learn  this.", "is_active": "on"} | FORMS)
    lesson = Lesson.objects.get()
    assert (lesson.kind, lesson.text) == ("person", "Learn this.")
    root.post(f"{page}{lesson.pk}/change/", {"text": "Learn that.", "is_pinned": "on"} | FORMS)
    lesson.refresh_from_db()
    assert (lesson.text, lesson.is_pinned, lesson.is_active) == ("Learn that.", True, False)
    assert Event.objects.filter(kind="lesson.changed", actor=str(world.staff)).exists()


FORMS = {"sources-TOTAL_FORMS": "0", "sources-INITIAL_FORMS": "0"}


def test_two_lessons_cannot_become_one(world: World) -> None:
    lesson_create(project=world.project, text="One thing.", actor="ann")
    other = lesson_create(project=world.project, text="Another matter.", actor="ann")
    with pytest.raises(Conflict):
        lesson_update(lesson=other, actor="ann", text="One thing.")
    with pytest.raises(BadInput):
        lesson_update(lesson=other, actor="ann", used=5)
