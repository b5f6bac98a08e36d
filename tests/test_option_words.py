"""Messages name options as their reader gives them: keyword arguments in Python, options on the command line."""

from __future__ import annotations

import inspect

import pytest
from click.testing import CliRunner

from feature_sync import FeatureStore, RequestError, TrainingSet
from feature_sync.cli import cli
from feature_sync.option_words import _KEYWORDS, for_the_command_line, in_callers_words
from feature_sync.store.project import OptionKeywords
from feature_sync.store.pushes import PushRequest
from feature_sync.store.requests import InitRequest, ViewRequest
from feature_sync.training import SpineKeywords


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("name another with --event-timestamp", "name another with event_timestamp="),
        ("--as-of: 'soon' is no moment", "as_of: 'soon' is no moment"),
        ("adopt its keys with --take-over; it", "adopt its keys with take_over=True; it"),
        ("or guess: --no-warehouse", "or guess: use_warehouse=False"),
        ("pass --entity NAME=COLUMN, of a", 'pass entities={"NAME": "COLUMN"}, of a'),
        ("push again: feature-sync push trips --full-refresh", "push again: feature-sync push trips --full-refresh"),
        ("run dbt build --target x; or --wait", "run dbt build --target x; or wait=True"),
        ("it says --unheard-of, --waiting", "it says --unheard-of, --waiting"),
    ],
)
def test_options_become_keyword_arguments_except_in_commands(message, told):
    assert in_callers_words(message) == str(RequestError(message)) == told
    with for_the_command_line():
        assert in_callers_words(message) == str(RequestError(message)) == message


def test_each_keyword_is_one_that_python_takes_and_each_option_one_of_the_command_line():
    typed = (OptionKeywords, SpineKeywords, PushRequest, ViewRequest, InitRequest)
    takes = {"project_dir", *(name for kind in typed for name in kind.__annotations__)}
    for method in ("get_training_set", "get_latest", "check", "acl", "forget", "grants"):
        takes |= {*inspect.signature(getattr(FeatureStore, method)).parameters}
    takes |= {*inspect.signature(TrainingSet.write).parameters}
    options = {name for command in cli.commands.values() for each in command.params for name in each.opts}
    for option, keyword in _KEYWORDS.items():
        assert keyword.partition("=")[0] in takes, keyword
        assert f"--{option.partition(' ')[0]}" in options, option


def test_a_program_and_a_command_are_told_the_same_in_their_own_words(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: empty\nversion: '1.0'\nprofile: empty\n")
    with pytest.raises(RequestError, match="as_of: 'soon' is not a moment"), FeatureStore(tmp_path) as store:
        store.push(as_of="soon")
    done = CliRunner().invoke(cli, ["push", "--as-of", "soon", "--project-dir", str(tmp_path)])
    with for_the_command_line():
        assert "--as-of: 'soon' is not a moment" in str(done.exception)
