"""A database and a data directory of their own for campaigns that let whole beads run."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection
from django.test.utils import override_settings

from apps.accounts.models import Organization
from apps.engine import doorbell
from apps.providers import pool
from apps.providers.models import Provider
from tests.workflows.studio import Model, Studio


@contextmanager
def rooms(**settings: Any) -> Iterator[None]:
    """Inside the test suite its database is used; on its own the campaign makes one."""
    own = "PYTEST_CURRENT_TEST" not in os.environ
    old = connection.settings_dict["NAME"]
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="loom-campaign-") as place:
        if own:
            connection.settings_dict["TEST"]["NAME"] = f"{place}/campaign.sqlite3"
            connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        doorbell.use(lambda _: None)
        try:
            with override_settings(LOOM_DATA_DIR=Path(place), LOOM_REST_SECONDS=0.0, **settings):
                yield
        finally:
            doorbell.use(None)
            logging.disable(logging.NOTSET)
            if own:
                connection.creation.destroy_test_db(old, verbosity=0)


@contextmanager
def studio(model: Model, **more: Any) -> Iterator[Studio]:
    """One project with its model; the next one has an organization of its own."""
    Organization.objects.filter(name="Studio").update(name=f"Studio {Organization.objects.count()}")
    Organization.objects.filter(slug="studio").update(slug=f"studio-{Organization.objects.count()}")
    made = Studio(model, **more)
    try:
        yield made
    finally:
        made.close()
        Provider.objects.filter(pk=made.provider.pk).delete()
        pool.forget()
