"""The fields of dbt-bigquery's profile: projects and dataset, limits of jobs, and credentials."""

from __future__ import annotations

from typing import Any

from google.auth.credentials import Credentials

from feature_sync.errors import ProfileError
from feature_sync.warehouses.base import TargetSettings

_SCOPES = ("https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/cloud-platform")


class BigQuerySettings(TargetSettings):
    """The fields of dbt-bigquery's profile; some have two names, as in dbt."""

    method: str
    project: str | None = None
    database: str | None = None
    dataset: str | None = None
    schema: str | None = None
    execution_project: str | None = None
    quota_project: str | None = None
    location: str | None = None
    api_endpoint: str | None = None
    priority: str | None = None
    maximum_bytes_billed: int | None = None
    job_execution_timeout_seconds: int | None = None
    timeout_seconds: int | None = None
    job_retry_deadline_seconds: int | None = None
    impersonate_service_account: str | None = None
    keyfile: str | None = None
    keyfile_json: dict[str, Any] | None = None
    token: str | None = None
    refresh_token: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    token_uri: str | None = None
    scopes: tuple[str, ...] = _SCOPES

    @property
    def timeout(self) -> int | None:
        """How many seconds a job may take; None for no limit."""
        return self.job_execution_timeout_seconds or self.timeout_seconds

    def credentials(self) -> tuple[Credentials, str | None]:
        """Return the credentials, and the project that the environment implies, if any.

        Raises:
            ProfileError: The method is not supported, or its key is missing.
        """
        found, project = self._own_credentials()
        if self.impersonate_service_account:
            from google.auth import impersonated_credentials

            found = impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
                found, self.impersonate_service_account, self.scopes
            )
        return found, project

    def _own_credentials(self) -> tuple[Credentials, str | None]:
        import google.oauth2.credentials
        import google.oauth2.service_account

        service_account = google.oauth2.service_account.Credentials
        if self.method == "oauth":
            return google.auth.default(scopes=self.scopes)
        if self.method == "service-account" and self.keyfile:
            return service_account.from_service_account_file(self.keyfile, scopes=self.scopes), None  # type: ignore[no-untyped-call]
        if self.method == "service-account-json" and self.keyfile_json:
            key = {**self.keyfile_json, "private_key": self.keyfile_json.get("private_key", "").replace("\\n", "\n")}
            return service_account.from_service_account_info(key, scopes=self.scopes), None  # type: ignore[no-untyped-call]
        if self.method == "oauth-secrets":
            names = ("token", "refresh_token", "client_id", "client_secret", "token_uri", "scopes")
            secrets_given = {name: getattr(self, name) for name in names}
            return google.oauth2.credentials.Credentials(**secrets_given), None  # type: ignore[no-untyped-call]
        raise ProfileError(
            f"method {self.method!r} is not supported, or its key is missing; use oauth, oauth-secrets, "
            "service-account (keyfile) or service-account-json (keyfile_json)"
        )
