"""What is written is as open as the umask says and follows no link; what the system refuses is one line."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from feature_sync.cli.saying import os_error_text
from feature_sync.errors import OutputError
from feature_sync.files import whole_file, write_text
from feature_sync.printable import printable
from feature_sync.spill import KeySpill
from tests.support.projects import own_copy


@pytest.fixture
def umask():
    """A usual umask; what it was is set again."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("mask", "existing", "expected"),
    [
        pytest.param(0o022, None, 0o644, id="as the umask says"),
        pytest.param(0o077, None, 0o600, id="a private umask"),
        pytest.param(0o022, 0o600, 0o600, id="no wider than the file that it replaces"),
        pytest.param(0o022, 0o400, 0o400, id="nor than one that may not be written"),
        pytest.param(0o077, 0o644, 0o600, id="the narrower of both"),
    ],
)
def test_a_file_is_as_open_as_the_umask_and_the_file_before_it(tmp_path, umask, mask, existing, expected):
    path = tmp_path / "a.parquet"
    if existing is not None:
        path.touch()
        path.chmod(existing)
    umask(mask)
    with whole_file(path) as partial:
        assert mode(partial) & 0o077 & ~expected == 0
        partial.write_bytes(b"x")
    assert (mode(path), path.read_bytes(), list(tmp_path.iterdir())) == (expected, b"x", [path])


def test_an_edited_text_keeps_its_rights(tmp_path, umask):
    path = tmp_path / "models.yml"
    path.touch()
    path.chmod(0o664)
    umask(0o077)
    write_text(path, "models: []\n")
    assert (mode(path), path.read_text()) == (0o664, "models: []\n")


def test_two_temporary_files_have_names_that_cannot_be_foreseen_and_a_link_is_replaced_not_followed(tmp_path):
    other, path = tmp_path / "other", tmp_path / "a.csv"
    other.write_text("mine")
    path.symlink_to(other)
    with whole_file(path) as first, whole_file(path) as second:
        assert first != second
        first.write_text("new")
        second.write_text("new")
    assert (path.read_text(), path.is_symlink(), other.read_text()) == ("new", False, "mine")


@pytest.mark.parametrize("name", ["/dev/null", ".", "x" * 256, "file/a.csv", "no/" + "y" * 300], ids=range(5))
def test_what_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    before = Path("/dev/null").stat().st_rdev
    with pytest.raises(OutputError), whole_file(tmp_path / name):
        pass
    assert Path("/dev/null").stat().st_rdev == before


def test_names_as_long_as_names_can_be_are_written(tmp_path):
    path = tmp_path / f"{'é' * 125}.csv"
    write_text(path, "a")
    assert path.read_text() == "a"


def test_a_body_that_fails_is_not_blamed_on_the_file(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a.csv"):
        (tmp_path / "nowhere").read_text()
    assert list(tmp_path.iterdir()) == []


# Where the system refuses


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096)); "


def test_a_full_folder_for_temporary_files_names_it():
    code = (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        + LIMITED
        + "from feature_sync.spill import KeySpill\n"
        "from feature_sync.errors import OutputError\n"
        "spill = KeySpill()\n"
        "try:\n"
        "    spill.add([str(n).encode() * 50 for n in range(20_000)]); list(spill.minus(KeySpill()))\n"
        "except OutputError as refused: print(refused)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "temporary files cannot be written: File too large; name a folder with room in TMPDIR\n"


def test_spilled_keys_are_what_they_were():
    with KeySpill() as some, KeySpill() as others:
        some.add([b"a", b"b"])
        others.add([b"b"])
        assert list(some.minus(others)) == [b"a"]


@pytest.fixture(scope="module")
def project(example, tmp_path_factory):
    return own_copy(example, tmp_path_factory.mktemp("outputs"))


@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["schema"], ["describe", "airport_weather"]])
def test_output_that_cannot_be_written_is_one_line(project, command):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-m", "feature_sync", *command],
            cwd=project.folder,
            env=project.variables,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


@pytest.mark.parametrize("command", [["list"], ["schema"]])
def test_output_that_nobody_reads_any_more_ends_without_a_word(project, command):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "feature_sync", *command],
        cwd=project.folder,
        env=project.variables,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_name_too_long_for_a_file_is_one_line(project):
    done = project.feature_sync("extract", "departure_delay_model", "--spine", f"{'x' * 300}.csv", "-o", "a.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    done = project.feature_sync("sql", "departure_delay_model", "--spine", "departures", "-o", "x" * 300)
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        [f"Error: {'x' * 300} cannot be written: File name too long"],
    )
    done = project.feature_sync("list", "--project-dir", "x" * 300)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


READ = """
import os, sys
from feature_sync.definitions import Target
from feature_sync.warehouses.duckdb.warehouse import DuckDBWarehouse

def read():
    opened = DuckDBWarehouse.connect(target)
    with opened as warehouse, warehouse.detached_results(["select 7"], batch_size=1) as (rows,):
        return list(rows)

settings = {"path": "flights.duckdb"}
target = Target(profile="a", name="b", adapter="duckdb", settings=settings, project_dir=sys.argv[1])
read()  # so that all is imported: another user may not read where Python is
os.setgid(65534), os.setuid(65534)
print(read(), os.access(sys.argv[1], os.W_OK))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, who may not write there")
def test_results_of_a_database_in_a_folder_that_may_only_be_read_are_spooled_elsewhere(project):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copy(project.folder / "flights.duckdb", folder)
    done = subprocess.run([sys.executable, "-c", READ, folder], capture_output=True, text=True, check=False)
    shutil.rmtree(folder)
    assert (done.stdout, done.stderr) == ("[[[7]]] False\n", "")


# What is printed for people


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 🦆", "plain é 漢 🦆"),
        ("a\nError: forged\r\t", r"a\nError: forged\r\t"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x7f\x9b31m\x85", r"\x7f\x9b31m\x85"),
        ("\u202egpj.exe\u2066\u2028\u200f", r"\u202egpj.exe\u2066\u2028\u200f"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_would_steer_a_terminal_is_shown_by_its_number(text, shown):
    assert printable(text) == shown


def test_names_and_values_reach_a_terminal_as_text_and_machines_as_they_are(project):
    name = "no\x1b[2J\nError: such"
    done = project.feature_sync("describe", name)
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr
    path = project.folder / "target" / "manifest.json"
    before = path.read_text()
    try:
        path.write_text(
            before.replace("Hourly weather", r"Hourly\u001b[2J\u202e weather").replace('"Wind', r'"\u001b[2JWind')
        )
        people, machines = (
            project.feature_sync("describe", "airport_weather"),
            project.feature_sync("describe", "airport_weather", "--json"),
        )
        assert "\x1b" not in people.stdout
        assert people.returncode == machines.returncode == 0
    finally:
        path.write_text(before)


def test_what_the_system_says_names_the_file_if_it_does():
    assert os_error_text(FileNotFoundError(2, "No such file", "a.csv")) == "a.csv: No such file"
    assert os_error_text(OSError("closed")) == "closed"
