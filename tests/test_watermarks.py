"""The hooks of the dbt package: a model's watermark never says more than its rows have seen."""

from __future__ import annotations

import os
import threading
from contextlib import closing

import pytest

from tests.support.landed import COLUMNS, LandedProject

STAGED = ["staged_table", "staged_incremental"]
BUILT = [*STAGED, "of_table", "of_view", "of_ephemeral", "of_incremental", "of_two", "as_view", "history"]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("duckdb", marks=pytest.mark.slow),
        "postgres",
        pytest.param("bigquery", marks=pytest.mark.slow),
    ],
)
def built(request, tmp_path_factory):
    server = None if request.param == "duckdb" else request.getfixturevalue(request.param)
    return LandedProject("watermarks", tmp_path_factory.mktemp(f"watermarks_{request.param}"), request.param, server)


@pytest.fixture
def project(built):
    built.reset()
    return built


def test_a_watermark_is_the_first_offset_that_is_missing_and_holes_that_fill_late_are_read(project):
    project.land(0, 0, 10)
    project.land(0, 10, 15)
    project.land(0, 20, 30)  # 15 to 19 are still on their way
    project.land(1, 5, 9)  # and of this partition, all that comes before
    for first, end in ((2, 8), (0, 4), (3, 5)):  # landed twice, and in another order
        project.land(2, first, end)
    project.insert("own_positions", *(f"(0, {offset})" for offset in (1, 0, 1, 2, 4)))
    alarm = r"'it\'s an alarm'" if project.target == "bigquery" else "'it''s an alarm'"
    project.insert("alarms", *(f"({alarm}, 3, {offset})" for offset in (7, 8, 10)))
    project.insert("alarms", "('another topic', 3, 9)")

    project.dbt("build")
    for model in BUILT:
        assert project.watermark(model) == {0: 15, 1: 0, 2: 8}, model
        assert max(project.offsets(model)[0]) == 29, "rows beyond the hole are there; they only do not count"
    assert project.watermark("of_rows") == {0: 3}
    assert project.watermark("of_two_topics", "it's an alarm") == {3: 9}
    assert project.watermark("of_two_topics") == {0: 15, 1: 0, 2: 8}
    assert not any(name.startswith("of_nothing_") for name in project.tables())

    project.land(0, 15, 20)
    project.land(1, 0, 5)
    project.dbt("build")
    for model in BUILT:
        assert project.watermark(model) == {0: 30, 1: 9, 2: 8}, model
    assert project.offsets("of_incremental")[0] == [*range(30)]
    assert project.offsets("of_two")[1] == [*range(9)]


def test_a_watermark_says_what_the_model_has_read_and_not_what_its_parents_know_by_now(project):
    project.land(0, 0, 10)
    project.dbt("run")
    project.land(0, 10, 20)
    project.dbt("run", "--select", "staged_table")
    assert (project.watermark("staged_table"), project.watermark("of_table")) == ({0: 20}, {0: 10})

    project.dbt("run", "--select", "of_table", "of_two", "of_view")
    assert project.watermark("of_table") == {0: 20}
    assert project.watermark("of_two") == {0: 10}, "its other parent, staged_incremental, has not seen more"
    assert project.watermark("of_view") == {0: 20}, "a view reads when the model above it does"


@pytest.mark.slow
def test_a_partition_counts_once_every_parent_has_seen_some_of_it(project):
    project.dbt("run", "--select", *STAGED)  # of a topic without messages
    project.land(0, 0, 10)
    project.dbt("run", "--select", "staged_table", "of_two")
    assert project.watermark("of_two") == {}


def test_a_build_that_fails_leaves_the_watermark_of_the_rows_that_are_there(project):
    project.land(0, 0, 10)
    project.dbt("run", "--select", "staged_table", "of_table")
    project.land(0, 10, 20)
    project.insert("positions", "('positions', 0, 15, 'no number')")
    failed = project.try_dbt("run", "--select", "staged_table", "of_table")
    assert failed.returncode == 1, failed.stdout
    assert (project.watermark("staged_table"), project.watermark("of_table")) == ({0: 20}, {0: 10})
    assert project.offsets("of_table")[0] == [*range(10)]


@pytest.mark.slow
def test_a_model_that_is_rebuilt_from_less_never_says_more_than_it_has_seen(project):
    """Without transactions its table is replaced before its watermark is, so that this is lowered first."""
    project.land(0, 0, 20)
    project.dbt("run", "--select", "staged_table", "of_table")
    schema = project.schema
    for table in ("positions", "positions__ranges"):  # somebody lands anew
        project.run(f"drop table {schema}.{table}")
        columns = COLUMNS[table].format(**project.types)
        project.run(f"create table {schema}.{table} ({columns})")
    project.land(0, 0, 5)
    project.insert("positions", "('positions', 0, 3, 'no number')")
    failed = project.try_dbt("run", "--select", "staged_table", "of_table")
    assert failed.returncode == 1, failed.stdout
    assert project.watermark("staged_table") == {0: 5}
    assert project.watermark("of_table") == {0: 5 if project.target == "bigquery" else 20}
    assert project.offsets("of_table")[0] == [*range(20)]


@pytest.mark.slow
def test_a_build_that_ends_between_its_hooks_makes_nothing_valid(project):
    """As where statements take effect one by one, and dbt is killed after the model is built."""
    project.land(0, 0, 10)
    project.dbt("run", "--select", "staged_table")
    noted = "(topic, topic_partition, next_offset, state, build) values ('positions', 0, 99, 'noted', 'killed')"
    project.run(f"insert into {project.schema}.staged_table__watermark {noted}")
    assert project.watermark("staged_table") == {0: 10}
    project.land(0, 10, 11)
    project.dbt("run", "--select", "staged_table")
    assert project.watermark("staged_table") == {0: 11}


@pytest.mark.slow
def test_a_build_without_rows_has_seen_nothing(project):
    project.land(0, 0, 10)
    project.dbt("run", "--select", "staged_table", "of_table")
    project.dbt("run", "--select", "of_table", "--empty")
    assert (project.offsets("of_table"), project.watermark("of_table")) == ({}, {})


@pytest.mark.parametrize("built", ["postgres"], indirect=True)
def test_rows_that_land_while_dbt_builds_are_not_counted_before_they_are_read(project):
    """Land one message after the other, rows and ranges in one transaction, while dbt builds again and again."""
    project.land(0, 0, 1)
    times = max(1, int(os.environ.get("PROOF_TIMES", "0")) // 50)
    stop = threading.Event()
    landed = [1]

    def land():
        with closing(project.server.connect()) as connection:
            while not stop.is_set():
                offset = landed[0]
                with connection.transaction():
                    at = f"insert into {project.schema}."
                    connection.execute(f"{at}positions values ('positions', 0, {offset}, '1')")
                    connection.execute(f"{at}positions__ranges values ('positions', 0, {offset}, {offset + 1})")
                landed[0] += 1

    thread = threading.Thread(target=land)
    thread.start()
    try:
        for _ in range(times):
            project.dbt("run", "--select", "staged_table", "of_table", "staged_view", "of_view", "staged_incremental")
            for model in ("staged_table", "of_table", "of_view", "staged_incremental"):
                seen = project.watermark(model)[0]
                assert set(range(seen)) <= set(project.offsets(model)[0]), model
                assert 1 < seen <= landed[0]
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("built", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(None, "forgotten lies between the topic positions and of_forgotten", id="a model without hooks"),
        pytest.param(
            ("topic: positions}", "topics: positions}"), "topic is missing", id="no topic", marks=pytest.mark.slow
        ),
        pytest.param(
            ("topic: positions}", "topic: positions, offsets: o}"),
            "unknown key offsets",
            id="unknown key",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("begins_at: first_row", "begins_at: latest"),
            "first_row, not latest",
            id="no such beginning",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_mistake_is_named_with_its_cure(project, change, words):
    yaml = project.project.folder / "models" / "models.yml"
    text = yaml.read_text()
    try:
        if change is not None:
            yaml.write_text(text.replace(*change))
        failed = project.try_dbt("run", "--vars", "forgotten: true")
    finally:
        yaml.write_text(text)
    assert failed.returncode == 1
    assert words in " ".join(failed.stdout.split()), failed.stdout
