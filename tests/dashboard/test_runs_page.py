"""Runs across projects: what each does and is about, in words."""

from __future__ import annotations

from django.test import Client
from django.utils import timezone

from apps.decisions.services import decision_request
from apps.engine.models import Run, Step
from apps.providers.models import Provider
from tests.dashboard.test_home import read, words
from tests.world import World


def test_a_run_is_told_by_what_it_does_and_is_about(reader: Client, stranger: Client, world: World) -> None:
    decision_request(project=world.project, question="Which **port**?", requester="Engineer")
    page = read(reader, "/runs/")
    assert "Deadline of a decision</a>" in page
    assert "Which port?</a>" in page, "not only that it is a decision"
    assert '<option value="decision.deadline">Deadline of a decision</option>' in page
    assert "Which port?" not in read(stranger, "/runs/")


def test_a_run_names_the_agent_the_model_or_the_project_that_it_is_about(
    reader: Client, stranger: Client, world: World
) -> None:
    model = Provider.objects.create(organization=world.project.organization, name="qwen-here", model="qwen3")
    agent, project = world.agent, world.project
    about = {
        f"agent:{agent.pk}:life:9": (f"/agents/?project={project.pk}#agent-{agent.pk}", agent.name),
        f"provider:{model.pk}:9": (f"/models/#provider-{model.pk}", "qwen-here"),
        "prd:9": (f"/projects/{project.pk}/", project.name),
    }
    for key, (address, name) in about.items():
        run = Run.objects.create(
            flow="agent.life",
            key=key,
            status=Run.Status.WAITING,
            organization_id=project.organization_id,
            project_id=project.pk,
        )
        link = f'href="{address}">{name}</a>'
        assert link in read(reader, "/runs/"), key
        assert link in read(reader, f"/runs/{run.pk}/"), key
    assert "qwen-here" not in read(stranger, "/runs/")


def test_a_run_that_shall_stop_or_pause_says_so_and_offers_only_what_is_left(
    reader: Client, world: World
) -> None:
    run = Run.objects.filter(bead_id=world.beads[0].pk).get()
    page, runs = f"/runs/{run.pk}/", Run.objects.filter(pk=run.pk)
    assert "Pause</button>" in read(reader, page)
    runs.update(status=Run.Status.RUNNING, pause_requested=True)
    assert "running, pauses at its next step" in read(reader, page)
    runs.update(pause_requested=False, cancel_requested=True)
    assert all("running, stops at its next step" in read(reader, at) for at in (page, "/runs/"))
    assert not any(f"{word}</button>" in read(reader, page) for word in ("Pause", "Resume", "Cancel"))


def test_the_timeline_of_a_run_speaks_in_words(reader: Client, world: World) -> None:
    run = Run.objects.filter(bead_id=world.beads[0].pk).get()
    names = ("query", "wait:decision:7", "node:review", "tidy_up")
    for seq, name in enumerate(names, 100):
        Step.objects.create(run=run, seq=seq, name=name, status=Step.Status.DONE, started_at=timezone.now())
    Run.objects.filter(pk=run.pk).update(status=Run.Status.WAITING, waits_for="merge:7")
    shown = words(read(reader, f"/runs/{run.pk}/"))
    for told in ("Asked the model", "Waited for an answer", "Came to review", "Tidy up", "its turn to merge"):
        assert told in shown
    assert not any(name in shown for name in (*names, "merge:7"))
