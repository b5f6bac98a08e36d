"""The names of time zones: those that every warehouse reads as IANA does."""

from __future__ import annotations

import pytest

from feature_sync.definitions import check_zone

NONE = [
    "America", "../x", "", "/etc/passwd", "posixrules", "localtime", "Factory", "posix/Europe/Paris", "right/UTC",
    "Europe/Paris ", "Europe//Paris", "x" * 300, "Europe\x00Paris", "tzdata.zi", "CEST", "Mars/Base", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", NONE)
def test_a_name_that_is_not_a_zone_everywhere_is_refused_in_one_way(name):
    with pytest.raises(ValueError, match="is not a time zone; write one such as Europe/Paris"):
        check_zone(name)


@pytest.mark.parametrize("name", ["CET", "EET", "MET", "WET"])
def test_a_zone_that_postgres_takes_for_its_winter_time_is_refused_and_another_named(name):
    with pytest.raises(ValueError, match=r"winter time all year to PostgreSQL.* write Europe/"):
        check_zone(name)


@pytest.mark.parametrize("name", ["UTC", "Europe/Paris", "America/Argentina/Ushuaia", "EST5EDT", "Etc/GMT+5", "GB"])
def test_other_zones_are_taken(name):
    check_zone(name)
