"""What each start of the installation does for models: those that its environment names are connected."""

from __future__ import annotations

import pytest

from apps.accounts.models import Organization
from apps.engine.models import Run
from apps.providers import gateway
from apps.providers.answers import Answer
from apps.providers.gateway import complete
from apps.providers.models import Provider
from apps.providers.pool import forget
from apps.providers.services import provider_sync_environment
from apps.providers.speakers import Speak
from apps.providers.starting import environment_connect
from apps.providers.terms import Payer
from tests.providers.conftest import HELLO, MakeRequest

QUIET = {"LOOM_DETECT_LOCAL": "off"}


def connected() -> set[str]:
    return set(Provider.objects.filter(organization=None).values_list("name", flat=True))


@pytest.mark.django_db
def test_a_start_connects_what_the_environment_names_and_takes_nothing_away() -> None:
    environment_connect({})
    assert not Provider.objects.exists()
    environment_connect({"OPENAI_API_KEY": "one"})
    environment_connect({"MISTRAL_API_KEY": "two"})
    environment_connect({})
    assert connected() == {"openai", "mistral"}


def test_a_weave_that_the_demo_began_goes_on_with_it_when_a_model_is_connected(
    organization: Organization, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def speaker(row: Provider) -> Speak:
        asked.append(row.name)
        return lambda *_: Answer(text=HELLO)

    monkeypatch.setattr(gateway, "speaker_for", speaker)
    run = Run.objects.create(key="prd:7", flow="prd.weave", organization_id=organization.pk, project_id=7)

    def ask(project_id: int, run_id: int | None = None) -> str:
        payer = Payer(organization_id=organization.pk, project_id=project_id, run_id=run_id)
        forget()
        complete(make_request(payer=payer))
        return asked[-1]

    provider_sync_environment(QUIET)
    assert ask(7, run.pk) == "demo"
    environment_connect({"OPENAI_API_KEY": "one"})
    assert (ask(7), ask(8)) == ("demo", "openai")

    Run.objects.update(status=Run.Status.DONE)
    assert ask(7) == "openai", "what is done on it later is the model's work"
    environment_connect({"OPENAI_API_KEY": "one"})
    assert connected() == {"openai"}


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["::no address::", "http://127.0.0.1:9/v1"])
def test_a_start_goes_on_without_a_model_that_cannot_be_connected(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    environment_connect({"LOOM_PROVIDER_URL": address})
    assert not Provider.objects.exists()
    assert "No model was connected at the start" in caplog.text
