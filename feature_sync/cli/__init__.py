"""The command line: each command parses its arguments, calls the feature store once, and prints the result."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from feature_sync import __version__
from feature_sync.cli.access_options import acl_options, forget_options, grants_options
from feature_sync.cli.endings import EndsInOrder
from feature_sync.cli.init_options import init_options
from feature_sync.cli.key_values import key_values
from feature_sync.cli.monitoring import metrics, metrics_option, written_metrics
from feature_sync.cli.options import (
    pass_feature_store,
    plan_options,
    push_options,
    redis_options,
    serve_options,
    training_options,
    verify_options,
    warn,
)
from feature_sync.cli.saying import discard_output, os_error_text, say
from feature_sync.cli.skew import skew
from feature_sync.cli.streaming import stream
from feature_sync.errors import FeatureSyncError
from feature_sync.option_words import for_the_command_line

if TYPE_CHECKING:
    from feature_sync.store import FeatureStore

HELD_BACK = STALE = DIFFERENT = LEFT = BREAKING = 3
as_of_option = click.option("--as-of", metavar="MOMENT", help="The moment to use as now, such as 2013-01-31T17:00:00Z.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=EndsInOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """A feature store for dbt projects: the manifest is the registry, Redis serves, the warehouse trains."""


@cli.command("list")
@json_option
@pass_feature_store
def list_(store: FeatureStore, as_json: bool) -> None:
    """List feature views, entities and feature services."""
    from feature_sync.cli.definitions import print_registry

    print_registry(store.registry, as_json=as_json)
    for warning in store.project.warnings:
        warn(str(warning))


@cli.command()
@click.argument("name")
@click.option("--pin", is_flag=True, help="Print the pin of the service: JSON to keep beside a model.")
@json_option
@pass_feature_store
def describe(store: FeatureStore, name: str, *, pin: bool, as_json: bool) -> None:
    """Describe a feature view or a feature service."""
    from feature_sync.cli.definitions import print_description

    if pin:
        click.echo(store.pin(name).to_json(), nl=False)
        return
    print_description(store.describe(name), as_json=as_json)


@cli.command()
@click.option("--warehouse", is_flag=True, help="Check the columns of the built tables, too.")
@click.option(
    "--pin",
    "pins",
    multiple=True,
    metavar="FILE",
    help="Compare a feature service with a model's pin, or with a training set's sidecar.",
)
@click.option("--warn-error", is_flag=True, help="Exit 1 on warnings, too.")
@json_option
@pass_feature_store
def check(store: FeatureStore, /, *, pins: tuple[str, ...], warehouse: bool, warn_error: bool, as_json: bool) -> None:
    """Report every mistake in the definitions with its file and line, for CI; exit 1 if there are any."""
    from feature_sync.cli.findings import print_findings

    checked = store.check(warehouse=warehouse, pins=pins)
    print_findings(checked, as_json=as_json)
    sys.exit(0 if checked.is_good(warn_error=warn_error) else 1)


@cli.command()
@click.option("-o", "--output", metavar="FILE", help="Write to a file.")
def schema(output: str | None) -> None:
    """Print a JSON Schema of our blocks in dbt's YAML, for completion and validation in editors."""
    from feature_sync.cli.queries import print_file
    from feature_sync.schema import read_schema

    print_file(read_schema(), output)


@cli.command()
@click.option("-o", "--output", metavar="FILE", help="Write to a file, such as models/features.md.")
@click.option(
    "--name", default="__overview__", show_default=True, help="The block's name; the default opens dbt's site."
)
@click.option("--check", is_flag=True, help="Write nothing; exit 3 if the file differs from what would be written.")
@pass_feature_store
def docs(store: FeatureStore, output: str | None, name: str, check: bool) -> None:
    """Print a page for dbt's docs site: all features with their owners, tests and consumers."""
    from feature_sync.cli.queries import check_file, print_file

    page = store.docs_block(name, output=output)
    if check:
        sys.exit(0 if check_file(page, output) else STALE)
    print_file(page, output)


@cli.command()
@init_options
@pass_feature_store
def init(store: FeatureStore, /, models: tuple[str, ...], **options: Any) -> None:
    """Guess the settings that make models feature views; print them as YAML, or insert them with --write."""
    from feature_sync.cli.adopting import print_adoption, print_scan

    adoption = store.init(models, before_scan=print_scan, **options)
    print_adoption(adoption)
    sys.exit(1 if adoption.failures else 0)


@cli.command()
@plan_options
@json_option
@pass_feature_store
def plan(store: FeatureStore, /, *, as_json: bool, as_markdown: bool, allow_breaking: bool, **options: Any) -> None:
    """Compare the project with another state: what its changes do to features and models; exit 3 if one breaks."""
    from feature_sync.cli.plans import print_plan

    planned = store.plan(**options)
    print_plan(planned, as_json=as_json, as_markdown=as_markdown)
    sys.exit(BREAKING if planned.is_breaking and not allow_breaking else 0)


@cli.command()
@push_options
@as_of_option
@metrics_option
@json_option
@pass_feature_store
def push(
    store: FeatureStore, /, names: tuple[str, ...], *, metrics_file: str | None, as_json: bool, **options: Any
) -> None:
    """Make Redis equal to the newest rows in the warehouse, for the views named or for all that are online."""
    from feature_sync.cli.pushes import printed_pushes
    from feature_sync.progress import progress_bars

    with written_metrics(store, "push", metrics_file) as watched:
        with printed_pushes(as_json=as_json) as watched.pushed, progress_bars("rows") as progress:
            watched.pushed.extend(store.push_each(names, progress=progress, **options))
        sys.exit(HELD_BACK if any(each.held_back for each in watched.pushed) else 0)


@cli.command()
@verify_options
@as_of_option
@metrics_option
@json_option
@pass_feature_store
def verify(
    store: FeatureStore, /, names: tuple[str, ...], *, metrics_file: str | None, as_json: bool, **options: Any
) -> None:
    """Prove that Redis equals the warehouse, or report the differences and exit 3."""
    from feature_sync.cli.checks import print_verified
    from feature_sync.progress import progress_bars

    with written_metrics(store, "verify", metrics_file) as watched:
        with progress_bars("rows") as progress:
            watched.verified = verified = store.verify(names, progress=progress, **options)
        print_verified(verified, as_json=as_json)
        sys.exit(0 if verified.is_equal else DIFFERENT)


@cli.command("status")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@metrics_option
@json_option
@pass_feature_store
def status_of_views(store: FeatureStore, names: tuple[str, ...], metrics_file: str | None, as_json: bool) -> None:
    """Report for each feature view what Redis holds, how old it is, and how its last push went."""
    from feature_sync.cli.checks import print_statuses

    with written_metrics(store, "status", metrics_file) as watched:
        watched.statuses = store.status(names)
        print_statuses(watched.statuses, as_json=as_json)


@cli.command()
@click.argument("name")
@click.argument("keys", metavar="KEY=VALUE...", nargs=-1, callback=key_values)
@as_of_option
@json_option
@pass_feature_store
def get(store: FeatureStore, name: str, keys: dict[str, str], as_of: str | None, as_json: bool) -> None:
    """Read the values of a feature service, or of a feature view, for one entity."""
    from feature_sync.cli.answers import print_vector

    print_vector(store.get_feature_vector(name, keys, as_of=as_of), as_json=as_json)


@cli.command()
@click.argument("service")
@redis_options
@click.option("-o", "--output", metavar="FILE", help="Write to a file.")
def card(service: str, output: str | None, **options: Any) -> None:
    """Print the card of a feature service from Redis, by which clients read; needs no project if Redis is named."""
    from feature_sync.cli.queries import print_file
    from feature_sync.cli.services import read_service_card

    print_file(read_service_card(service, options), output)


@cli.command()
@serve_options
def serve(host: str, port: int, workers: int, **settings: Any) -> None:
    """Serve feature vectors over HTTP, as Feast's feature server does; needs Redis, and no project or warehouse."""
    from feature_sync.cli.serving import serve_until_stopped

    serve_until_stopped(settings, host=host, port=port, workers=workers)


@cli.command()
@training_options
@click.option("--dialect", metavar="DIALECT", help="Write for another warehouse than the target's.")
@click.option("--refs", is_flag=True, help="Write a dbt model, with ref() instead of table names.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file.")
@click.option("--check", is_flag=True, help="Write nothing; exit 3 if the file differs from what would be written.")
@pass_feature_store
def sql(
    store: FeatureStore, /, dialect: str | None, output: str | None, *, refs: bool, check: bool, **training: Any
) -> None:
    """Print the query that answers a spine with a feature service."""
    from feature_sync.cli.queries import check_file, print_query

    if refs and dialect:
        raise click.UsageError("--refs writes a model for the target's warehouse; leave out --dialect")
    training_set = store.get_training_set(**training)
    query = training_set.to_model() if refs else training_set.to_sql(dialect)
    if check:
        sys.exit(0 if check_file(query, output) else STALE)
    print_query(training_set, query, output, dialect=dialect)


@cli.command()
@training_options
@click.option("--latest", is_flag=True, help="Answer all entities, or those of the spine, as of the present moment.")
@click.option("--of", metavar="VIEW", help="The view whose entities --latest answers, if several have every key.")
@click.option(
    "-o", "--output", required=True, metavar="FILE|URI", help="What to write: .parquet or .csv, also s3:// or gs://."
)
@click.option("--rows-per-file", type=int, metavar="ROWS", help="Write a folder of Parquet files of so many rows.")
@json_option
@pass_feature_store
def extract(
    store: FeatureStore,
    /,
    of: str | None,
    output: str,
    rows_per_file: int | None,
    *,
    latest: bool,
    as_json: bool,
    **training: Any,
) -> None:
    """Write a training set to a Parquet or CSV file: one row for each row of the spine."""
    from feature_sync.cli.answers import ask_latest, print_extract
    from feature_sync.progress import progress_bars

    if of is not None and not latest:
        raise click.UsageError("--of names the view of --latest")
    training_set = ask_latest(store, of, training) if latest else store.get_training_set(**training)
    shown = output.partition("?")[0]
    with progress_bars("rows") as progress:
        written = training_set.write(output, lambda rows: progress(shown, rows), rows_per_file=rows_per_file)
    print_extract(written, as_json=as_json)


@cli.command()
@acl_options
@json_option
@pass_feature_store
def acl(
    store: FeatureStore, /, services: tuple[str, ...], form: str, *, generate_passwords: str | None, as_json: bool
) -> None:
    """Print the users that Redis needs, each with its least rights: a writer, an auditor, a reader of each service."""
    from feature_sync.cli.access import print_acl

    print_acl(store.acl(services, generate_passwords=generate_passwords), form, as_json=as_json)


@cli.command()
@grants_options
@pass_feature_store
def grants(store: FeatureStore, /, pusher: str, reader: str, builder: str, spines: tuple[str, ...]) -> None:
    """Print the statements that grant the least rights in PostgreSQL or BigQuery to the roles that push and read."""
    click.echo(store.grants(pusher=pusher, reader=reader, builder=builder, spines=spines), nl=False)


@cli.command()
@forget_options
@json_option
@pass_feature_store
def forget(store: FeatureStore, entity: str, keys: tuple[str, ...], files: tuple[str, ...], as_json: bool) -> None:
    """Show where an entity's values still are, and what removes them; exit 3 while something is left."""
    from feature_sync.cli.access import print_traces

    traces = store.forget(entity, *keys, files=files)
    print_traces(traces, as_json=as_json)
    sys.exit(0 if traces.is_forgotten else LEFT)


cli.add_command(metrics)
cli.add_command(skew)
cli.add_command(stream)


@cli.group()
def redis() -> None:
    """Start, stop or inspect the embedded Redis of a project on DuckDB."""


@redis.command()
@pass_feature_store
def start(store: FeatureStore) -> None:
    """Start the embedded Redis if it is not running, and print its URL."""
    say(store.connections.embedded_server.start())


@redis.command()
@pass_feature_store
def stop(store: FeatureStore) -> None:
    """Stop the embedded Redis; its data stays."""
    say("stopped" if store.connections.embedded_server.stop() else "was not running")


@redis.command()
@pass_feature_store
def status(store: FeatureStore) -> None:
    """Report whether the embedded Redis is running, and its URL."""
    pid = store.connections.embedded_server.pid
    say(f"running as process {pid} at {store.connections.embedded_server.url}" if pid else "not running")


def main() -> None:
    """Run the command line; our own errors and errors of the system print one line on stderr and exit 1."""
    try:
        cli(prog_name="feature-sync")
    except FeatureSyncError as error:
        with for_the_command_line():
            say(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as refused:
        say(f"Error: {os_error_text(refused)}", err=True)
        discard_output()
        sys.exit(1)
