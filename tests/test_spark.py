"""Training sets on Spark through Spark Connect: on Sail, which speaks it too, and on Spark itself (slow)."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_sync.warehouses import open_warehouse
from tests.support.cases import cases
from tests.support.engines import ask, canonical, examples, load, strategies
from tests.support.printed import without_lone_nan
from tests.support.spark import OnConnect

SERVERS = ["sail", pytest.param("spark", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def warehouse(server):
    with closing(open_warehouse(server.target())) as opened:
        yield opened


@examples(12)
@given(data=st.data())
def test_every_spine_row_gets_what_the_oracle_finds_through_the_products_own_session(sail, tmp_path_factory, data):
    check_case(sail, tmp_path_factory, data, is_sail=True)


@pytest.mark.slow
@examples(12)
@given(data=st.data())
def test_spark_itself_answers_as_the_oracle_does(spark, tmp_path_factory, data):
    check_case(spark, tmp_path_factory, data, is_sail=False)


def check_case(server, tmp_path_factory, data, *, is_sail):
    case = data.draw(cases("spark"))
    if is_sail:
        case = replace(case, tables={view: without_lone_nan(rows) for view, rows in case.tables.items()})
    with closing(open_warehouse(server.target())) as opened:
        engine = OnConnect(opened, tmp_path_factory.mktemp("case"), is_sail=is_sail)
        load(engine, case)
        wanted = canonical(case.expected())
        for strategy in strategies(engine, case):
            assert canonical(ask(engine, case, strategy)) == wanted, strategy
            assert canonical(ask(engine, case, strategy, asked=case.asked)) == wanted, f"{strategy}, within bounds"
