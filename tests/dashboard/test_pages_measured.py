"""The benchmark of pages looks at every page there is."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import NoReverseMatch, resolve, reverse

from apps.dashboard import urls
from tests.bench.loom_pages import pages_of

NO_PAGES = {"login", "logout", "theme", "analytics-csv", "notification", "persona-preview"}
KINDS = ("bead", "session", "run", "decision", "plan", "persona", "motivation", "pairing")


@pytest.mark.django_db
def test_every_page_is_measured(client: Client) -> None:
    measured = {resolve(page.partition("?")[0]).url_name for page in pages_of(1, **dict.fromkeys(KINDS, 1))}
    pages = {
        str(one.name) for one in urls.urlpatterns if client.get(_address(str(one.name))).status_code != 405
    }
    assert measured == pages - NO_PAGES


def _address(name: str) -> str:
    """Of some row; what is only sent answers 405 before it looks for one."""
    for values in ([], [1], ["a"], [1, "a"], [1, "a", 1], ["00000000-0000-0000-0000-000000000000"]):
        try:
            return reverse(name, args=values)
        except NoReverseMatch:
            continue
    raise AssertionError(name)
