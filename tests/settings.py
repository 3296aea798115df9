"""Loom's own settings on a data directory that lasts as long as the test run."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Child processes of the tests inherit the variable, and with it the run's directory.
if "LOOM_TEST_RUN" not in os.environ:
    os.environ["LOOM_TEST_RUN"] = os.environ["LOOM_DATA_DIR"] = tempfile.mkdtemp(prefix="loom-tests-")
    atexit.register(shutil.rmtree, os.environ["LOOM_TEST_RUN"], ignore_errors=True)

os.environ.setdefault("LOOM_REST_SECONDS", "0")  # a failed session is followed by the next at once

from loom_site.settings import *  # noqa: F403
