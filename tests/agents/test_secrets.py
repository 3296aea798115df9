"""Secrets that stand in a repository: where they are looked for, and what is taken for one."""

from __future__ import annotations

import pytest

from apps.agents.secrets import repository_secrets


def found(path: str, text: str) -> set[str]:
    return set(repository_secrets([path], lambda _: text.encode()))


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (".env", "API_KEY=abc123456\nD=1\nexport PASS='p4 word x' # ours\n", {"abc123456", "p4 word x"}),
        ("deploy/prod.env", "GENERATED=0123456789abcdef01\nNAME=shop\n", {"0123456789abcdef01"}),
        ("config/credentials.json", '{"user": "ann", "password": "s3cret-4711", "port": 1}', {"s3cret-4711"}),
        ("secrets.yml", "db:\n  password: hunter2-hunter2\n  host: db.example.org\n", {"hunter2-hunter2"}),
        (".npmrc", "//registry.npmjs.org/:_authToken=tok3n-0123456789\n", {"tok3n-0123456789"}),
        ("terraform.tfvars", 'apiKey = "k3y-abcdefgh"\nregion = "eu-1"\n', {"k3y-abcdefgh"}),
        ("id_ed25519", "-----BEGIN X PRIVATE KEY-----\nAbc1\n-----END X PRIVATE KEY-----\n", {"Abc1"}),
        (".env.example", "API_KEY=abc123456\n", set()),
        ("settings.py", "API_KEY = 'abc123456'\n", set()),
        ("config/secrets.py.md", "password: abc123456\n", set()),
        (".env", "PATH_TO_KEY=/etc/keys/one\nTOKEN_URL=https://x.y/1\nSECRET=short\n", set()),
    ],
)  # fmt: skip
def test_values_under_telling_names_in_files_made_for_secrets(
    path: str, text: str, expected: set[str]
) -> None:
    assert found(path, text) == expected


def test_files_that_cannot_be_read_are_passed_over() -> None:
    def refuse(path: str) -> bytes:
        raise OSError(path)

    assert list(repository_secrets([".env"] * 500, refuse)) == []
