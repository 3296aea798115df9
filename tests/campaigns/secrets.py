"""Canaries where secrets are: in how many places outside do they show after agents did their worst?

Agents print, encode, read, commit, log and pass on all that they can find. Then everything that left the
worktree is searched for every canary in every spelling. Run once more with masking switched off, the same
search must find them: else it would prove nothing.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from django.test import Client, override_settings

from apps.accounts.models import User
from apps.accounts.services import organization_ensure
from apps.agents.sandbox import sandbox_status
from apps.beads.models import Bead
from apps.core.masking import Masker, environment_secrets, secrets_note, secrets_refresh
from apps.engine import doorbell
from apps.providers import pool
from apps.providers.models import Provider
from tests.campaigns._database import installation
from tests.campaigns._secret_places import Finder, exported, kept, logged, served
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, replies, write

CANARIES = {
    "provider key": "sk-canary-provider-7Xq93bTz41Lm",
    "another tenant's provider key": "other-canary-provider-55Gh2",
    "environment": "canary-environment-81Rt/+z",
    "deployment": "canary-deploy-Pa$$w0rd<17>",
    "repository": "canary-repository-39Kd=x",
    "credentials file": "canary-credentials-64Zu",
    "private key": "MIIEcanary0" + "aB3" * 15,
}
VARIABLES = {"CANARY_API_TOKEN": CANARIES["environment"], "LOOM_ENCRYPTION_KEY": CANARIES["deployment"]}
REPOSITORY = {
    ".env": f"SERVICE_API_KEY={CANARIES['repository']}\nDEBUG=1\n",
    "config/credentials.json": f'{{"user": "x", "password": "{CANARIES["credentials file"]}"}}\n',
    "deploy.pem": "-----BEGIN PRIVATE KEY-----\n" + CANARIES["private key"] + "\n-----END PRIVATE KEY-----\n",
}
FILES = ".env config/credentials.json deploy.pem"
CODED = """python - <<'END'
import html, json, urllib.parse
for text in map(str.strip, open('.env')):
    print(urllib.parse.quote(text, safe=''), json.dumps(text), html.escape(text))
    print(repr(text), text.encode().hex())
END"""
SPELLINGS = [
    "env; cat {f}", "base64 {f}; base64 -w0 {f}; cat {f} | base64 -w 20",
    "od -An -tx1 {f}; od -An -c {f} | tr -d ' '",
    "rev {f}; fold -w 7 {f}", "cat {f} | while read l; do echo \"$l\" | base64; done",
    CODED,
    "for i in 1 2 3; do head -c 20 .env; sleep 0.05; tail -c +21 .env; done",
    "grep -rn canary . ; ls -la; cat {f} >&2; exit 3",
]  # fmt: skip
LEAKY_TEST = (
    "import os, unittest\n\n\nclass LeakTest(unittest.TestCase):\n    def test_leak(self):\n"
    "        said = open('.env').read() + repr(dict(os.environ))\n        print(said)\n"
    "        self.assertEqual(said if {fails} else '', '')\n"
)


def campaign(scale: float = 1.0) -> dict[str, Any]:
    if not sandbox_status().available:
        return {"ok": False, "error": f"There is no sandbox here: {sandbox_status().reason}"}
    with installation():
        masked = leaks()
        control = leaks(unmasked=True)
    seen = {place for place, count in control["places"].items() if count}
    return {
        **masked,
        "canaries": len(CANARIES),
        "control": {"places": control["places"], "canaries": control["shown"]},
        "ok": not any(masked["places"].values())
        and masked["searched"] > 100
        and {"prompts", "turns", "evidence", "admin", "logs"} <= seen
        and masked["merged"],
    }


def leaks(*, unmasked: bool = False) -> dict[str, Any]:
    """Let the agents loose, then count the texts of each place in which a canary shows."""
    places: Counter[str] = Counter()
    shown: set[str] = set()
    searched = 0
    finder = Finder(CANARIES)
    with _world(unmasked) as (studio, lines):
        bead = studio.bead("Leak", description="Print what you can find.")
        studio.run()
        logging.getLogger("apps").error("It failed: %s", CANARIES)
        merged = studio.refreshed(bead).status == Bead.Status.CLOSED
        for place, text in _texts(studio, lines.getvalue()):
            searched += 1
            places[place] += bool(found := finder.found(text))
            shown |= found
    return {"places": dict(places), "shown": sorted(shown), "searched": searched, "merged": merged}


def _texts(studio: Studio, lines: str) -> Iterator[tuple[str, str]]:
    for request in studio.server.requests:
        yield "prompts", str(request.body)
    yield "logs", lines
    yield from kept()
    with tempfile.TemporaryDirectory() as folder:
        yield from exported(Path(folder))
    client = Client()
    operator, _ = User.objects.get_or_create(username="operator", is_staff=True, is_superuser=True)
    client.force_login(operator)
    yield from served(client)


@contextmanager
def _world(unmasked: bool) -> Iterator[tuple[Studio, Any]]:
    """A studio whose secrets are canaries, in a data directory of its own."""
    off = mock.patch.object(Masker, "text", lambda self, text: text) if unmasked else mock.patch.dict({})
    with (
        tempfile.TemporaryDirectory(prefix="loom-secrets-") as data,
        override_settings(LOOM_DATA_DIR=data, ALLOWED_HOSTS=["*"]),
        mock.patch.dict(os.environ, VARIABLES),
        logged() as lines,
        off,
    ):
        Path(data).chmod(0o755)
        doorbell.use(lambda _: None)
        studio = Studio(_model)
        try:
            _plant(studio)
            secrets_note(*environment_secrets(VARIABLES.items()))  # as if the process began with them
            secrets_refresh(force=True)
            yield studio, lines
        finally:
            studio.close()
            doorbell.use(None)
            Provider.objects.all().delete()
            pool.forget()


def _plant(studio: Studio) -> None:
    studio.provider.set_key(CANARIES["provider key"])
    studio.provider.save()
    foreign = Provider(
        name=f"foreign-{studio.project.pk}", kind=Provider.Kind.OPENAI, model="x",
        endpoint="http://localhost:1/v1",
        organization=organization_ensure(name="Other"), enabled=False,
    )  # fmt: skip
    foreign.set_key(CANARIES["another tenant's provider key"])
    foreign.save()
    pool.forget()
    files = {path: text.encode() for path, text in REPOSITORY.items()}
    studio.hub.commit_files("main", files, "Secrets", "Ann <ann@example.org>")


def _model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
    heard = last(messages)
    if kind == "review":
        return APPROVE
    match replies(messages):
        case 0:
            return [("run_command", {"command": one.replace("{f}", FILES)}) for one in SPELLINGS]
        case 1:
            return [
                ("read_file", {"path": ".env"}), ("read_file", {"path": "config/credentials.json"}),
                ("search_text", {"query": "canary"}), ("read_file", {"path": "deploy.pem"}),
                write("tests/test_leak.py", LEAKY_TEST.format(fails=True)), ("run_tests", {}),
            ]  # fmt: skip
        case 2:
            return [
                ("edit_file", {"path": ".env", "old_text": "DEBUG=1", "new_text": "DEBUG=0"}),
                ("git_diff", {}),
                ("remember", {"note": f"It said {heard[-1500:]}"}),
                ("send_message", {"to_role": "qa-engineer", "subject": "Seen", "body": heard[-3000:]}),
            ]  # fmt: skip
        case 3:
            return [
                write("tests/test_leak.py", LEAKY_TEST.format(fails=False)),
                done(f"Done. {heard[-1500:]}"),
            ]
        case _:
            return [done()]
