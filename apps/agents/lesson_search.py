"""Which lessons concern some work: BM25 over a project's lessons, weighted by how fresh and proven each is.

A project has at most a thousand short lessons, so they are ranked in memory, alike on every database.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from apps.agents.lesson_models import Lesson
from apps.core.prepared import Prepared

SHOWN, SHOWN_CHARS = 12, 4_000  # in one prompt
HALF_LIFE = timedelta(days=30)
FADED = 0.05  # strength below which a lesson is not shown any more
MOST = 1_000
K1, B = 1.2, 0.75  # the usual parameters of BM25 (Robertson and Zaragoza, 2009)
BASE = 0.25  # what a lesson weighs that has no word in common with the work
SAME = 0.8  # share of common words from which two lessons say the same

_ACTIVE: Prepared[Lesson] = Prepared(
    lambda project_id: Lesson.objects.filter(project_id=project_id, is_active=True).order_by(
        "-is_pinned", "-refreshed_at"
    )
)
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COMMON = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "do", "for", "from", "has", "have",
        "if", "in", "into", "is", "it", "its", "must", "no", "not", "of", "on", "or", "should", "so", "that",
        "the",
        "their", "them", "then", "there", "they", "this", "to", "was", "were", "when", "which", "will",
        "with",
        "you", "your",
    }
)  # fmt: skip


def lessons_for(lessons: Sequence[Lesson], work: str, *, now: datetime | None = None) -> list[Lesson]:
    """Those to show for `work`, most important first, within the budget of a prompt."""
    chosen: list[Lesson] = []
    room = SHOWN_CHARS
    for lesson in ranked(lessons, work, now=now):
        if len(chosen) == SHOWN:
            break
        if len(lesson.text) <= room:
            chosen.append(lesson)
            room -= len(lesson.text)
    return chosen


def active_lessons(project_id: int) -> list[Lesson]:
    return _ACTIVE(project_id, limit=MOST)


def ranked(lessons: Sequence[Lesson], work: str, *, now: datetime | None = None) -> list[Lesson]:
    """Pinned ones first, then by relevance and strength; faded ones left out."""
    now = now or timezone.now()
    scores = bm25(work, [f"{lesson.text} {lesson.about}" for lesson in lessons])
    best = max(scores, default=0.0) or 1.0
    weighed = [
        (lesson, strength(lesson, now) * (BASE + score / best))
        for lesson, score in zip(lessons, scores, strict=True)
        if lesson.is_pinned or strength(lesson, now) >= FADED
    ]
    weighed.sort(key=lambda one: (not one[0].is_pinned, -one[1], -one[0].pk))
    return [lesson for lesson, _ in weighed]


def strength(lesson: Lesson, now: datetime) -> float:
    """1 for a new lesson; halved by each half-life without use, more the oftener it was learned or used."""
    if lesson.is_pinned:
        return 1.0
    age = max(timedelta(), now - lesson.refreshed_at)
    proven = 1.0 + math.log(max(1, lesson.learned + lesson.used))
    return float(proven * 0.5 ** (age / HALF_LIFE))


def bm25(query: str, texts: Sequence[str]) -> list[float]:
    """How well each text answers the query."""
    documents = [Counter(words(text)) for text in texts]
    lengths = [sum(document.values()) for document in documents]
    mean = sum(lengths) / len(lengths) if lengths else 0.0
    asked = set(words(query))
    rarity = {
        word: math.log(1 + (len(texts) - count + 0.5) / (count + 0.5))
        for word in asked
        if (count := sum(word in document for document in documents))
    }
    return [
        sum(
            rarity[word] * document[word] * (K1 + 1) / (document[word] + K1 * (1 - B + B * length / mean))
            for word in rarity.keys() & document.keys()
        )
        for document, length in zip(documents, lengths, strict=True)
    ]


def words(text: str) -> list[str]:
    """Words in small letters, names taken apart, a plural's end left out, common ones skipped."""
    found = (word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text)))
    return [_stem(word) for word in found if word not in _COMMON]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def alike(one: str, other: str) -> bool:
    """Whether two texts use almost the same words."""
    mine, theirs = set(words(one)), set(words(other))
    return bool(mine) and len(mine & theirs) >= SAME * len(mine | theirs)
