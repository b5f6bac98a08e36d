"""Mutation tests: change the product in one place, run the tests that should notice, list changes that none noticed.

`MUTANTS` is how many changes to try (or `all`), `MUTANTS_SEED` draws them, `MUTANTS_JOBS` is how many run side by side.
An interrupted run goes on where it ended, while the product stays the same; survivors are tried again, with the tests
as they are by then.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from difflib import unified_diff
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray.mutating import use_mutation
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult
from mutations import draw, operator_of

ROOT = Path(__file__).parents[1]
COUNT, SEED = os.environ.get("MUTANTS", "200"), os.environ.get("MUTANTS_SEED", "7")
FOLDER = ROOT / ".mutants" / f"{COUNT}-{SEED}"
MUTATED = ("push/*.py", "online/**/*.py", "serving/*.py", "sql/**/*.py", "definitions/*.py", "value_types/*.py")
CHANGES = tomllib.loads((ROOT / "scripts" / "mutants.toml").read_text())["change"]
SECONDS_TO_NOTICE = 3_600
"""Tests that take longer go on for ever, so they have noticed; far more than a busy machine needs."""
TIMEOUT = "timeout"
PASSING: set[str] = set()
"""Tests that noticed a change, and pass without one."""


def attempt(item: WorkItem, free: SimpleQueue[Path]) -> tuple[WorkItem, WorkResult]:
    """Change one copy of the product, and run the tests of the changed module until one fails."""
    (spec,), tree = item.mutations, free.get()
    name = spec.module_path.relative_to("feature_sync").as_posix()
    tests = next(each for each in CHANGES if name.startswith(tuple(each["modules"])))
    cases = tests.get("cases", "not postgres and not bigquery")
    try:
        with use_mutation(tree / spec.module_path, operator_of(spec), spec.occurrence) as (before, after):
            noticed = first_failure(tree, cases, tests["tests"])
        if noticed:
            check_notices(tree, noticed)
    finally:
        free.put(tree)
    diff = "\n".join(unified_diff(before.splitlines(), after.splitlines(), str(spec.module_path), n=0, lineterm=""))
    outcome = TestOutcome.KILLED if noticed else TestOutcome.SURVIVED
    return item, WorkResult(WorkerOutcome.NORMAL, test_outcome=outcome, output=noticed, diff=diff)


def first_failure(tree: Path, cases: str, tests: list[str]) -> str:
    """Run groups of test files until a test fails; returns which, empty if none did."""
    groups = ([f"tests/test_{file}.py" for file in files.split()] for files in tests)
    return next(filter(None, (failure(tree, ["-k", cases, *paths]) for paths in groups)), "")


def check_notices(tree: Path, noticed: str) -> None:
    """Refuse to go on where the test that noticed a change fails without it, too: it notices nothing."""
    if noticed not in PASSING and noticed != TIMEOUT:
        if failed := failure(tree, [noticed]):
            raise SystemExit(f"a test fails although nothing was changed: {failed}")
        PASSING.add(noticed)


def failure(tree: Path, tests: list[str]) -> str:
    """Run tests against a copy of the product; returns what failed, empty if nothing did."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BUILT_PROJECTS": f"{tree}/built",
    }
    command = [
        ROOT / ".venv/bin/python",
        "-m",
        "pytest",
        "-xq",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile=mutants",
    ]
    command += tests
    with subprocess.Popen(command, cwd=tree, env=variables, stdout=subprocess.PIPE, text=True) as process:
        try:
            said, _ = process.communicate(timeout=SECONDS_TO_NOTICE)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # so that servers are stopped
            process.communicate()
            return TIMEOUT
    failed = re.findall(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", said, re.MULTILINE)
    return "" if process.returncode in (0, 5) else (failed or [said[-500:]])[0]  # 5: no test was chosen


def tracked() -> list[str]:
    """List the files of the repository."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)  # noqa: S607
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def check_product() -> None:
    """Refuse to go on with changes that were drawn of another product: its new tests would fail without them."""
    product = [name for name in sorted(tracked()) if name.startswith("feature_sync/")]
    digest = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in product)).hexdigest()
    remembered = FOLDER / "product"
    if remembered.exists() and remembered.read_text() != digest:
        sys.exit(f"the product has changed since this sample was drawn; remove {FOLDER} to begin anew")
    FOLDER.mkdir(parents=True, exist_ok=True)
    remembered.write_text(digest)


def copy_to(tree: Path) -> None:
    """Bring a copy of the repository up to date; an interrupted run may have left a change there."""
    for name in tracked():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    for name in (".venv-bigquery", ".venv-engines"):
        if not (tree / name).exists():
            (tree / name).symlink_to(ROOT / name)


def main() -> None:
    """Try what has not been tried, and what survived, and report."""
    check_product()
    free: SimpleQueue[Path] = SimpleQueue()
    for number in range(jobs := int(os.environ.get("MUTANTS_JOBS", "2"))):
        copy_to(FOLDER / str(number))
        free.put(FOLDER / str(number))
    with use_db(str(FOLDER / "session.sqlite")) as work, ThreadPoolExecutor(jobs) as pool:
        if not work.num_work_items:
            os.chdir(FOLDER / "0")  # where modules are named as in any copy
            paths = (path for name in MUTATED for path in Path("feature_sync").glob(name))
            places = draw(work, paths, count=None if COUNT == "all" else int(COUNT), seed=SEED)
            print(f"{places} places can be changed")
        killed = {job for job, result in work.results if result.test_outcome == TestOutcome.KILLED}
        waiting = [item for item in work.work_items if item.job_id not in killed]
        for done in as_completed([pool.submit(attempt, item, free) for item in waiting]):
            item, result = done.result()
            work.set_result(item.job_id, result)
            print(f"{result.test_outcome.value}: {result.diff.splitlines()[-1]}  # {result.output}", flush=True)
        survivors = [result.diff for _, result in work.results if result.test_outcome == TestOutcome.SURVIVED]
        print(
            "\n".join(
                ["", *survivors, f"{work.num_results - len(survivors)} of {work.num_results} killed, seed {SEED}"]
            )
        )


if __name__ == "__main__":
    main()
