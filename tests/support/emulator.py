"""BigQuery's API on this machine, for the tests: an emulator from a wheel, which keeps its tables in memory."""

from __future__ import annotations

import subprocess
import tempfile
import time
from urllib.error import URLError
from urllib.request import urlopen

from feature_sync.online.server import _free_port
from tests.support.projects import EXAMPLE

_PROGRAM = EXAMPLE / ".venv-bigquery" / "bin" / "crucible"
_SECONDS_TO_START = 60


class BigQueryServer:
    """A server on a free port; it asks for no credentials."""

    def __enter__(self):
        assert _PROGRAM.exists(), f"{_PROGRAM} is missing: make .venv-bigquery/.made"
        port = _free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()
        command = (str(_PROGRAM), "serve", "--dialect", "bigquery", "--port", str(port))
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError("the BigQuery emulator did not start")
            time.sleep(0.1)
        return self

    def __exit__(self, *error):
        self._process.terminate()
        self._process.wait()
        self._log.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the projects' profiles read."""
        return {"FEATURE_SYNC_BIGQUERY_ENDPOINT": self.endpoint}

    def client(self):
        """Google's own client, for a test that looks or changes by hand."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        return bigquery.Client(
            project="feature-sync-example",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.endpoint},
        )

    def _is_up(self) -> bool:
        try:
            with urlopen(f"{self.endpoint}/_crucible/health"):
                return True
        except URLError:
            return False
