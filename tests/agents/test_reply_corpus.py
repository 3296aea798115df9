"""The corpus of replies, read through the public door: every action that stands there and none else."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.agents.replies import read_reply, valid_history
from tests.agents.corpus import Case, corpus
from tests.agents.test_replies import assert_valid

CASES = corpus()
FORMS = sorted({case.id.partition(":")[0] for case in CASES})


def said(case: Case) -> list[dict[str, object]]:
    return [{"type": name, **arguments} for name, arguments in case.actions]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    path: Path = tmp_path_factory.mktemp("corpus") / "replies.jsonl"
    rows = [{"id": case.id, "reply": case.reply, "tool_calls": case.tool_calls} for case in CASES]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    out = io.StringIO()
    call_command("parse_replies", str(path), stdout=out)
    return {one["id"]: one for one in map(json.loads, out.getvalue().splitlines())}


def test_the_corpus_is_large_and_its_cases_differ() -> None:
    assert len(CASES) > 1000
    assert len({case.id for case in CASES}) == len(CASES)
    assert len(FORMS) > 150


@pytest.mark.parametrize("form", FORMS)
def test_every_action_is_read_and_none_invented(form: str, answers: dict[str, dict[str, object]]) -> None:
    for case in CASES:
        if case.id.partition(":")[0] == form:
            answer = answers[case.id]
            expected = [json.loads(json.dumps(one)) for one in said(case)]
            assert answer["actions"] == expected, (case.id, case.reply, answer["error"])
            if case.clean is not None:
                assert (answer["error"] is None) == case.clean, (case.id, case.reply, answer["error"])


def test_all_of_it_is_kept_in_a_form_that_strict_servers_take() -> None:
    for case in CASES:
        reading = read_reply(case.reply, case.tool_calls)
        assert_valid(valid_history(case.reply, case.tool_calls, reading), reading)


def test_wherever_a_reply_breaks_off_only_the_tail_is_lost() -> None:
    for case in CASES[::7]:
        if case.tool_calls or not case.actions or not case.clean:
            continue
        for cut in range(1, len(case.reply), 5):
            reading = read_reply(case.reply[:cut])
            got = tuple((one.name, one.arguments) for one in reading.actions)
            assert got == case.actions[: len(got)], (case.id, case.reply[:cut])
            assert got or reading.error, (case.id, case.reply[:cut])
