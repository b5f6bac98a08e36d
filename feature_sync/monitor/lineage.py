"""Sends OpenLineage events from a thread: what waits, refuses or fails there is one text at the end, never an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue
from threading import Thread
from typing import Any

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    processing_engine_run,
    schema_dataset,
)
from openlineage.client.uuid import generate_new_uuid

from feature_sync.monitor.datasets import Dataset

PRODUCER = "pkg:pypi/feature-sync"
SECONDS_TO_SEND = 5.0
_SECONDS_TO_ANSWER = 3.0
_INTEGRATION = "FEATURE_SYNC"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageRun:
    """One run of a job, from which datasets to which; `columns` names the source of each output column."""

    job: str
    kind: str
    inputs: Sequence[Dataset]
    output: Dataset
    columns: Mapping[str, tuple[Dataset, str]]
    run_id: str


def client_of(lineage: str | None) -> Callable[[], OpenLineageClient]:
    """Return what makes a client: for a URL, for a file to which events are appended, or by the library's own settings.

    Args:
        lineage: A URL, the path of a file, or None.
    """
    if lineage is None:
        return OpenLineageClient
    if lineage.startswith(("http://", "https://")):
        # Without retries: the library would try for half a minute, and a push waits at most SECONDS_TO_SEND at its end.
        transport = {"type": "http", "url": lineage, "timeout": _SECONDS_TO_ANSWER, "retry": {"total": 0}}
    else:
        transport = {"type": "file", "log_file_path": lineage, "append": True}
    return lambda: OpenLineageClient(config={"transport": transport})


class LineageSender:
    """Sends events in their order, from a thread of its own."""

    def __init__(self, make_client: Callable[[], OpenLineageClient], *, namespace: str, version: str) -> None:
        """Send nothing yet.

        Args:
            make_client: Makes the client, in the thread.
            namespace: The namespace of jobs, unless `OPENLINEAGE_NAMESPACE` names one.
            version: The version of feature-sync.
        """
        self._namespace = os.environ.get("OPENLINEAGE_NAMESPACE") or namespace
        self._version = version
        self._events: SimpleQueue[RunEvent | None] = SimpleQueue()
        self._problem = ""
        self._thread = Thread(target=self._send, args=(make_client,), name="feature-sync-lineage", daemon=True)
        self._thread.start()

    def start(self, run: LineageRun) -> None:
        """Send that a run begins."""
        self._events.put(self._event(run, RunState.START))

    def complete(self, run: LineageRun, *, rows: int, size: int | None = None) -> None:
        """Send that a run ended well.

        Args:
            run: The run.
            rows: How many rows it wrote.
            size: How many bytes it wrote.
        """
        facet = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows, size=size)
        self._events.put(self._event(run, RunState.COMPLETE, output={"outputStatistics": facet}))

    def fail(self, run: LineageRun, message: str, *, was_interrupted: bool = False) -> None:
        """Send that a run failed, or was interrupted."""
        facet = error_message_run.ErrorMessageRunFacet(message=message, programmingLanguage="PYTHON")
        state = RunState.ABORT if was_interrupted else RunState.FAIL
        self._events.put(self._event(run, state, of_run={"errorMessage": facet}))

    def close(self) -> str:
        """Wait until all is sent, for at most `SECONDS_TO_SEND`; returns what went wrong, or nothing."""
        self._events.put(None)
        self._thread.join(SECONDS_TO_SEND)
        if self._thread.is_alive():
            return f"events were not accepted within {SECONDS_TO_SEND:g} s, and the rest is dropped"
        return self._problem

    def _send(self, make_client: Callable[[], OpenLineageClient]) -> None:
        client: OpenLineageClient | None = None
        while (event := self._events.get()) is not None:
            if self._problem:
                continue  # one silent server must not cost its time limit for every event
            try:
                client = client or make_client()
                client.emit(event)
            except Exception as failed:  # noqa: BLE001 - a transport may be anyone's
                self._problem = f"events are not sent: {_reason(failed)}"
        if client is not None:
            with suppress(Exception):  # the events are sent; a transport that cannot close is nobody's loss
                client.close(SECONDS_TO_SEND)

    def _event(
        self, run: LineageRun, state: RunState, *, output: Mapping[str, Any] | None = None, of_run: Any = None
    ) -> RunEvent:
        engine = processing_engine_run.ProcessingEngineRunFacet(version=self._version, name="feature-sync")
        kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration=_INTEGRATION, jobType=run.kind)
        return RunEvent(
            eventType=state,
            eventTime=datetime.now(UTC).isoformat(),
            run=Run(runId=run.run_id, facets={"processing_engine": engine, **(of_run or {})}),
            job=Job(namespace=self._namespace, name=run.job, facets={"jobType": kind}),
            inputs=[InputDataset(each.namespace, each.name, facets=_schema(each)) for each in run.inputs],
            outputs=[
                OutputDataset(
                    run.output.namespace,
                    run.output.name,
                    facets={**_schema(run.output), **_columns(run)},
                    outputFacets=dict(output or {}),
                )
            ],
            producer=PRODUCER,
        )


def new_run(job: str, kind: str, inputs: Sequence[Dataset], output: Dataset, columns: Any) -> LineageRun:
    """Return a run with an id of its own; see `LineageRun`."""
    run_id = str(generate_new_uuid())
    return LineageRun(job=job, kind=kind, inputs=inputs, output=output, columns=columns, run_id=run_id)


def _schema(dataset: Dataset) -> dict[str, Any]:
    if not dataset.fields:
        return {}
    fields = [schema_dataset.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in dataset.fields.items()]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}


def _columns(run: LineageRun) -> dict[str, Any]:
    lineage = column_lineage_dataset
    fields = {
        name: lineage.Fields(
            inputFields=[lineage.InputField(namespace=source.namespace, name=source.name, field=column)]
        )
        for name, (source, column) in run.columns.items()
    }
    return {"columnLineage": lineage.ColumnLineageDatasetFacet(fields=fields)} if fields else {}


def _reason(failed: Exception) -> str:
    """Name an error without its text, which may quote a URL with a token."""
    answered = getattr(getattr(failed, "response", None), "status_code", None)
    if answered is not None:
        return f"the server answered {answered}"
    reason = getattr(failed, "strerror", None)
    return f"{type(failed).__name__}{f': {reason}' if reason else ''}"
