"""Loom's own settings, with the views beside which its API is measured."""

from __future__ import annotations

from loom_site.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.api_urls"
