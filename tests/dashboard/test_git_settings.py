"""The git of a project, on its page of settings."""

from __future__ import annotations

import re

from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role
from apps.agents.merge_models import policy_of
from tests.dashboard.test_home import read
from tests.world import World, client_of

GIVEN = {
    "strategy": "branch-pr", "tampering": "block", "overlap": "parallel", "batch_size": "4",
    "remote": "git@example.org:acme/links.git", "username": "", "credential": "",
}  # fmt: skip


def test_administrators_set_the_remote_and_its_secrets_are_never_shown(reader: Client, world: World) -> None:
    project = world.project.pk
    admin, shown = client_of(world, Role.ADMIN, "root"), reverse("settings", args=[project])
    for name in ("git-save", "git-key"):
        assert reader.post(reverse(name, args=[project]), GIVEN).status_code == 404
    save = reverse("git-save", args=[project])
    for wrong, said in (
        ({"remote": ""}, "needs a remote"), ({"remote": "ftp://x"}, "is no address of a repository"),
        ({"batch_size": "0"}, "greater than or equal to 1"),
        ({"remote": "https://a:b@example.org/x"}, "password"),
    ):  # fmt: skip
        answer = admin.post(save, {**GIVEN, **wrong})
        assert (answer.status_code, said in answer.content.decode()) == (400, True), wrong
        assert 'value="parallel" selected' in answer.content.decode()
    assert "Git is set" in admin.post(save, {**GIVEN, "credential": "s3cret"}, follow=True).content.decode()
    policy = policy_of(project)
    assert (policy.strategy, policy.batch_size, policy.remote) == ("branch-pr", 4, GIVEN["remote"])
    sealed = policy.credential_sealed
    assert sealed
    admin.post(save, GIVEN)
    assert policy_of(project).credential_sealed == sealed, "left empty, it stays"
    admin.post(reverse("git-key", args=[project]), {"next": shown})
    key = re.search(r'id="deploy-key">(ssh-ed25519 [^<]+)<', read(admin, shown))
    assert key is not None
    assert key[1] == policy_of(project).public_key
    assert "PRIVATE" not in read(admin, shown)
    assert "s3cret" not in read(admin, shown)
    assert "administrators change it" in read(reader, shown)
