"""Loom's own settings on a data directory that lasts as long as the test run."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("LOOM_TEST_LEADER", str(os.getpid()))  # the process that started the others
# Several test processes at once (pytest-xdist) have a directory and a broker's database each. Child processes
# of the tests inherit the variable, and with it the directory.
if os.environ.get("LOOM_TEST_RUN") != os.environ.get("PYTEST_XDIST_WORKER", "main"):
    own = os.environ["LOOM_TEST_RUN"] = os.environ.get("PYTEST_XDIST_WORKER", "main")
    os.environ["LOOM_DATA_DIR"] = tempfile.mkdtemp(prefix="loom-tests-")
    atexit.register(shutil.rmtree, os.environ["LOOM_DATA_DIR"], ignore_errors=True)
    if os.environ.get("REDIS_URL") and own != "main":
        # Two of them for each: that of the tests, and the next for the installations they start.
        server = os.environ["REDIS_URL"].rsplit("/", 1)[0]
        os.environ["REDIS_URL"] = f"{server}/{2 + 2 * int(own.removeprefix('gw'))}"

os.environ.setdefault("LOOM_REST_SECONDS", "0")  # a failed session is followed by the next at once

from loom_site.settings import *  # noqa: F403

LOOM_RATE_PER_USER = LOOM_RATE_PER_KEY = LOOM_RATE_PER_ADDRESS = 0
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # argon2 is slow on purpose
WHITENOISE_AUTOREFRESH = True  # else each client of a test would look at all static files before it asks
LOOM_LOG_KEPT = False  # a thread of each process would write into every test's database
