"""A client that openapi-python-client makes from the served schema, at work against a running site."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from apps.accounts.key_services import key_create
from apps.accounts.models import Role
from tests.api.clients import person
from tests.world import World, world_build

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "loom_client"
PASSWORD = "a rather long passphrase"
COMMAND = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--fail-on-warning"]
COMMAND += ["--meta", "none", "--config", str(ROOT / "docs" / "python-client.yaml")]

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def client_package(live_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Made without a single warning."""
    place = tmp_path_factory.mktemp("generated")
    with urllib.request.urlopen(f"{live_server.url}/api/schema/?format=json", timeout=60) as answer:
        (place / "schema.json").write_bytes(answer.read())
    made = subprocess.run(
        [*COMMAND, "--path", "schema.json", "--output-path", PACKAGE],
        cwd=place, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (made.returncode, "WARNING" in made.stdout) == (0, False), made.stdout + made.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        yield importlib.import_module(PACKAGE)
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


@pytest.fixture
def loom(client_package: ModuleType) -> Any:
    """`loom.call("beads.get_beads", client, ...)`, and the models by name."""
    models = importlib.import_module(f"{PACKAGE}.models")

    def call(name: str, client: Any, *path: Any, **given: Any) -> Any:
        return importlib.import_module(f"{PACKAGE}.api.{name}").sync_detailed(*path, client=client, **given)

    return SimpleNamespace(call=call, models=models, package=client_package)


@pytest.fixture
def world(transactional_db: None, nobody_reacts: None) -> World:
    return world_build("ours", rows=3)


@pytest.fixture
def ann(live_server: Any, loom: Any, world: World) -> Iterator[Any]:
    """A client with the token of a login, made through the client itself."""
    user = person("ann", world.organization, Role.ADMIN)
    user.set_password(PASSWORD)
    user.save()
    nobody = loom.package.Client(base_url=live_server.url)
    wrong = loom.models.LoginInputRequest(username="ann", password="wrong")
    refused = loom.call("auth.post_auth_login", nobody, body=wrong)
    assert (refused.status_code, type(refused.parsed).__name__) == (401, "Error")
    right = loom.models.LoginInputRequest(username="ann", password=PASSWORD)
    told = loom.call("auth.post_auth_login", nobody, body=right).parsed
    assert told.user.username == "ann"
    with loom.package.AuthenticatedClient(base_url=live_server.url, token=told.token) as client:
        yield client
    nobody.get_httpx_client().close()


def test_work_goes_through_a_generated_client(loom: Any, ann: Any, world: World) -> None:
    models = loom.models
    made = loom.call(
        "projects.post_projects",
        ann,
        body=models.ProjectInputRequest(name="Shorten links", organization=world.organization.slug),
    )
    assert made.status_code == 201, made.content
    project = made.parsed
    listed = loom.call("projects.get_projects", ann).parsed
    assert {one.name for one in listed} == {"Shorten links", world.project.name}

    body = models.BeadInputRequest(title="Store links – größer", project_id=project.id, priority=1)
    created = loom.call("beads.post_beads", ann, body=body, idempotency_key="once").parsed
    again = loom.call("beads.post_beads", ann, body=body, idempotency_key="once").parsed
    assert (created.id, created.title) == (again.id, "Store links – größer")
    assert isinstance(created.created_at, datetime)
    assert created.closed_at is None

    read = loom.call("beads.get_beads_key", ann, created.id)
    tag, change = read.headers["etag"], models.PatchedBeadPatchRequest
    changed = loom.call(
        "beads.patch_beads_key", ann, created.id, body=change(title="Keep links"), if_match=tag
    )
    assert (changed.status_code, changed.parsed.title) == (200, "Keep links")
    stale = loom.call("beads.patch_beads_key", ann, created.id, body=change(title="Lost"), if_match=tag)
    assert stale.status_code == 412
    assert isinstance(stale.parsed, models.Error)
    assert stale.parsed.code == "stale"
    missing = loom.call("beads.get_beads_key", ann, "zz-9").parsed
    assert (missing.code, bool(missing.error)) == ("not_found", True)

    decision, other = world.decisions[:2]
    asked = loom.call("decisions.get_decisions", ann, status=[models.GetDecisionsStatusItem.OPEN]).parsed
    assert decision.pk in {int(one.id) for one in asked}
    assert asked[0].options == ["hash", "drop"]
    answer = models.AnswerInputRequest(decision="hash", rationale="Safer.")
    answered = loom.call("decisions.post_decisions_id_decide", ann, decision.pk, body=answer).parsed
    assert (answered.decision, answered.decision_id, answered.decider_id) == ("hash", str(decision.pk), "ann")
    assert isinstance(answered.decided_at, datetime)
    twice = loom.call("decisions.post_decisions_id_decide", ann, decision.pk, body=answer)
    assert (twice.status_code, type(twice.parsed)) == (409, models.Error)
    vote = models.VoteInputRequest(decision="drop")
    refused = loom.call("decisions.post_decisions_id_votes", ann, other.pk, body=vote)
    assert (refused.status_code, type(refused.parsed)) == (409, models.Error)

    paused = loom.call("agents.post_agents_id_pause", ann, str(world.agent.pk)).parsed
    assert (paused.name, paused.status) == ("Engineer", "paused")


def test_lists_page_filter_and_order_for_a_generated_client(loom: Any, ann: Any, world: World) -> None:
    order, status = loom.models.GetBeadsOrderingItem, loom.models.GetBeadsStatusItem
    first = loom.call("beads.get_beads", ann, limit=2, cursor="", ordering=[order.CREATED_AT_DESCENDING])
    assert first.headers["x-total-count"] == "3"
    (address,) = [part for part in first.headers["link"].split(", ") if part.endswith('rel="next"')]
    rest = ann.get_httpx_client().get(address[1 : address.index(">")]).json()
    keys = [one.id for one in first.parsed] + [one["id"] for one in rest]
    assert keys == [bead.key for bead in reversed(world.beads)]
    # Several values come as a parameter that is repeated.
    several = loom.call("beads.get_beads", ann, status=[status.OPEN, status.CLOSED])
    assert len(several.parsed) == 3
    assert len(loom.call("beads.get_beads", ann, status=[status.CLOSED, status.BLOCKED]).parsed) == 0
    two = [loom.models.GetBeadsOrderingItem.PRIORITY, order.CREATED_AT_DESCENDING]
    assert loom.call("beads.get_beads", ann, ordering=two).parsed[0].id == world.beads[-1].key


def test_a_key_serves_a_generated_client(live_server: Any, loom: Any, world: World) -> None:
    robot = person("robot", world.organization, Role.SERVICE)
    _, key = key_create(
        user=robot, organization=world.organization, name="ci", scopes={"beads:read"}, maker=world.staff
    )
    keyed = loom.package.AuthenticatedClient(
        base_url=live_server.url, token=key, prefix="", auth_header_name="X-API-Key"
    )
    assert len(loom.call("beads.get_beads", keyed).parsed) == 3
    refused = loom.call("projects.get_projects", keyed).parsed
    assert isinstance(refused, loom.models.Error)
    assert refused.code == "forbidden"
    keyed.get_httpx_client().close()


def test_whatever_is_read_without_a_path_is_understood(loom: Any, ann: Any, world: World) -> None:
    """Of each GET whose address is whole: what the site answers is what the client was told to expect."""
    apis, seen = importlib.import_module(f"{PACKAGE}.api"), 0
    for found in pkgutil.walk_packages(apis.__path__, f"{PACKAGE}.api."):
        name = found.name.rpartition(".")[2]
        if (
            found.ispkg
            or not name.startswith("get_")
            or name.endswith("_stream")
            or ".not_built." in found.name
        ):
            continue
        call = importlib.import_module(found.name).sync_detailed
        needed = [one for one in inspect.signature(call).parameters.values() if one.default is one.empty]
        if [one.name for one in needed] != ["client"]:
            continue
        answer = call(client=ann)
        assert answer.status_code < 300 or isinstance(answer.parsed, loom.models.Error), name
        assert answer.parsed is not None or answer.status_code == 204, (name, answer.content[:200])
        seen += 1
    assert seen > 60
    assert json.dumps([one.to_dict() for one in loom.call("beads.get_beads", ann).parsed])
