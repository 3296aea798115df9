"""Ways to fake success, and honest changes beside them: how many are flagged, how many falsely.

Each change is a real commit in a hub, inspected through the door that verification uses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from apps.agents.hub import Hub
from apps.agents.tampering import warnings_of
from apps.agents.verify import change_flags
from tests.campaigns._cheats import CHEATS
from tests.campaigns._cheats_more import CHEATS_MORE
from tests.campaigns._honest import HONEST
from tests.campaigns._honest_more import HONEST_MORE
from tests.campaigns._product import BASE, Play

FALSE_ALARMS = 0.05


def campaign(scale: float = 1.0) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="loom-cheat-") as place:
        hub = Hub(Path(place) / "hub.git")
        hub.create("main")
        base = hub.commit_files("main", {path: text.encode() for path, text in BASE.items()}, "Start")
        flagged = dict(_inspected(hub, base, _some([*CHEATS, *CHEATS_MORE], scale)))
        alarms = dict(_inspected(hub, base, _some([*HONEST, *HONEST_MORE], scale)))
    missed = [name for name, found in flagged.items() if not found]
    false = {name: found for name, found in alarms.items() if found}
    return {
        "cheats": len(flagged),
        "flagged": len(flagged) - len(missed),
        "missed": missed,
        "honest": len(alarms),
        "false_alarms": len(false),
        "false_alarm_rate": round(len(false) / len(alarms), 4),
        "alarms": false,
        "ok": not missed and len(false) < FALSE_ALARMS * len(alarms),
    }


def _some(plays: list[Play], scale: float) -> list[Play]:
    """All of them; of a smaller campaign every so-manyth."""
    return plays[:: max(1, round(1 / scale))] if scale < 1 else plays


def _inspected(hub: Hub, base: str, plays: Iterable[Play]) -> Iterable[tuple[str, list[str]]]:
    for play in plays:
        files = {path: None if text is None else text.encode() for path, text in play.outcome().items()}
        hub.advance("play", base, hub.head("play"))
        commit = hub.commit_files("play", files, play.name)
        yield play.name, [flag["what"] for flag in warnings_of(change_flags(hub, base, commit))]
