"""What each start of the installation does for models: it connects those that its environment names."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from apps.core.errors import LoomError
from apps.providers.discovery import providers_detect
from apps.providers.services import provider_sync_environment

log = logging.getLogger(__name__)


def environment_connect(env: Mapping[str, str] = os.environ) -> None:
    """Connect what keys or an address in the environment name, so that work can begin through any door.

    No model is taken away, since a weave may run beside it that was started with other variables; one that
    the demo began goes on with the demo. What makes no sense, or does not answer, is said and keeps nobody
    from starting.
    """
    said = {**env, "LOOM_DETECT_LOCAL": "off"}
    try:
        if providers_detect(said):
            provider_sync_environment(said, keep=True)
    except LoomError as error:
        log.warning("No model was connected at the start: %s", error.told)
