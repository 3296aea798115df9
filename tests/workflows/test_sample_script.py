"""The bundled sample leads to the same product whatever the order, and shows the incidents it promises."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from apps.agents.checks import detect_checks
from tests.workflows.sample_play import (
    DEMO,
    ORDERS,
    PROJECT,
    ROOT,
    SUITE,
    Play,
    Repository,
    Talk,
    git,
    plan,
    requirements,
    scenes,
)

pytestmark = pytest.mark.once  # it never asks a database


def expansion() -> dict[str, str]:
    talk = Talk("expand", PROJECT)
    writes = [arguments for kind, arguments in itertools.islice(talk.actions(), 2) if kind == "write_file"]
    return {write["path"]: write["content"] for write in writes}


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Play]:
    made = {}
    for name, run in ORDERS.items():
        repository = Repository(tmp_path_factory.mktemp("sample") / "main")
        start = {".gitignore": "__pycache__/\n", **expansion()}
        for path, content in start.items():
            (repository.path / path).parent.mkdir(exist_ok=True)
            (repository.path / path).write_text(content, encoding="utf-8")
        repository.snapshot(repository.path, "Expand the PRD")
        made[name] = Play(repository, {})
        run(made[name])
    return made


@pytest.fixture(scope="module")
def product(plays: dict[str, Play], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone of what was built."""
    clone = tmp_path_factory.mktemp("product") / "splitfair"
    git(ROOT, "clone", "--quiet", str(plays["in waves"].repository.path), str(clone))
    return clone


def test_prd_gives_clean_requirements_and_the_expansion_names_each() -> None:
    assert len(requirements()) == 14
    expanded = (DEMO / "files" / "plan" / "PRD.md").read_text(encoding="utf-8")
    assert set(re.findall(r"R-\d{3}", expanded)) == set(requirements())


def test_plan_is_refused_once_and_then_covers_every_requirement() -> None:
    assert plan().refusals == 1
    assert plan().uncovered() == set()
    assert {key for bead in plan().stories.values() for key in bead["requirements"]} == set(requirements())


def test_plan_has_epics_stories_criteria_and_known_roles() -> None:
    epics = [bead for bead in plan().beads.values() if bead["type"] == "epic"]
    assert (len(epics), len(plan().stories)) == (3, 10)
    roles = {bead["role"] for bead in plan().beads.values()}
    assert roles <= {path.parent.name for path in (ROOT / "personas" / "default").glob("*/SKILL.md")}
    assert len({bead["role"] for bead in plan().stories.values()}) == 5
    for bead in plan().stories.values():
        assert bead["acceptance"]
        assert bead["description"]
        assert plan().beads[bead["parent"]]["type"] == "epic"


def test_plan_has_a_diamond_and_room_for_parallel_work() -> None:
    def ancestors(title: str) -> set[str]:
        return {title}.union(*(ancestors(blocker) for blocker in plan().blockers(title)))

    diamonds = [
        title
        for title in plan().stories
        if any(ancestors(a) & ancestors(b) for a, b in itertools.combinations(plan().blockers(title), 2))
    ]
    assert {"Keep a book of people and expenses", "Build the command line"} <= set(diamonds)
    assert [len(wave) for wave in plan().waves()] == [1, 3, 1, 3, 1, 1]
    for wave in plan().waves():
        assert len({plan().stories[title]["role"] for title in wave}) == len(wave)


def test_every_scene_belongs_to_the_plan_and_every_story_has_its_scenes() -> None:
    told = {(scene.task, scene.title) for scene in scenes()}
    stories = {(task, title) for task in ("work", "review") for title in plan().stories}
    assert told - stories == {
        ("expand", PROJECT),
        ("plan", PROJECT),
        ("decide", "Approve the plan"),
        ("decide", "Who bears the cents that are left over by a split?"),
    }
    assert stories <= told


def test_reviews_judge_exactly_the_acceptance_criteria() -> None:
    reviews = [
        (scene.title, action["submit_review"])
        for scene in scenes()
        for reply in scene.replies
        for action in reply.actions
        if "submit_review" in action
    ]
    assert {title for title, _ in reviews} == set(plan().stories)
    for title, review in reviews:
        assert [item["criterion"] for item in review["criteria"]] == plan().stories[title]["acceptance"]
        assert all(item["met"] for item in review["criteria"]) == (review["verdict"] == "approve")


def test_script_uses_every_file_it_brings() -> None:
    script = (DEMO / "script.yaml").read_text(encoding="utf-8")
    used = re.findall(r"!file (files/[^\s}]+)", script)
    assert sorted(set(used)) == sorted(
        str(path.relative_to(DEMO)) for path in (DEMO / "files").rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("order", ORDERS)
def test_all_stories_land_whatever_the_order(plays: dict[str, Play], order: str) -> None:
    assert set(plays[order].sessions) == set(plan().stories)


def test_all_orders_lead_to_the_same_product(plays: dict[str, Play]) -> None:
    trees = {git(play.repository.path, "rev-parse", "main^{tree}").stdout for play in plays.values()}
    assert len(trees) == 1


def test_promised_incidents_happen_and_no_others(plays: dict[str, Play]) -> None:
    expected = {
        "decision": ["Split an amount into fair shares"],
        "verification": ["Import expenses from CSV"],
        "review": ["Store a book in a file"],
    }
    money, shares = plan().blockers("Keep a book of people and expenses")
    assert plays["in waves"].incidents() == expected | {"conflict": [shares]}
    assert plays["in waves, last first"].incidents() == expected | {"conflict": [money]}
    assert plays["one by one"].incidents() == expected


def test_one_reply_is_not_valid_and_is_corrected() -> None:
    chatter = [scene.title for scene in scenes() for reply in scene.replies if reply.raw is not None]
    assert chatter == ["Settle balances with few transfers"]


def test_tests_fail_only_where_the_story_says_so(plays: dict[str, Play]) -> None:
    for play in plays.values():
        for title, session in play.sessions.items():
            assert session.tests[-1] is True
            failing = session.tests.count(False)
            assert failing == (1 if title == "Store a book in a file" else 0), title


def test_sample_can_be_followed_and_does_not_drag(plays: dict[str, Play]) -> None:
    after = [reply for scene in scenes() for track in scene.after for reply in track.replies]
    delays = [reply.delay for reply in (*after, *(reply for scene in scenes() for reply in scene.replies))]
    assert min(delays) >= 0.15
    assert max(delays) <= 0.6

    sessions = plays["in waves"].sessions
    ends: dict[str, float] = {}
    for title in itertools.chain.from_iterable(plan().waves()):
        started = max((ends[blocker] for blocker in plan().blockers(title)), default=plan().seconds)
        ends[title] = started + sessions[title].talk.seconds + sessions[title].review_seconds
    assert 20 <= max(ends.values()) <= 40


def test_product_passes_its_own_tests_from_a_clean_clone(product: Path) -> None:
    for command in (SUITE, (sys.executable, "-m", "unittest")):
        result = subprocess.run(command, cwd=product, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert int(re.findall(r"Ran (\d+) tests", result.stderr)[0]) > 70
        assert "skipped" not in result.stderr
    assert git(product, "status", "--porcelain").stdout == ""


def test_platform_finds_the_tests_of_the_product(product: Path) -> None:
    files = git(product, "ls-files").stdout.split()
    checks = detect_checks(files, lambda path: (product / path).read_bytes(), modules=())
    assert [check.kind for check in checks] == ["build", "test"]


def test_product_works_on_the_command_line(product: Path) -> None:
    def splitfair(*arguments: str) -> str:
        command = [sys.executable, "-m", "splitfair", *arguments]
        result = subprocess.run(command, cwd=product, capture_output=True, text=True, check=True)
        return result.stdout

    assert "usage: splitfair" in splitfair("--help")
    splitfair("new", "Ann", "Bob", "Cleo")
    splitfair("add", "Ann", "10")
    assert splitfair("settle") == "Bob pays Ann 3.33\nCleo pays Ann 3.33\n"


def test_product_is_clean_under_lint_and_strict_types(product: Path) -> None:
    rules = [
        "check",
        "--isolated",
        "--line-length=110",
        "--select=A,B,C4,E,F,I,N,PERF,PIE,PTH,RET,RUF,SIM,UP,W",
    ]
    layout = ["format", "--isolated", "--line-length=110", "--check"]
    types = ["--strict", "--config-file=", "--no-incremental", "--python-version=3.11", "splitfair", "tests"]
    for tool, *arguments in (("ruff", *rules), ("ruff", *layout), ("mypy", *types)):
        command = [sys.executable, "-m", tool, *arguments]
        result = subprocess.run(command, cwd=product, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
