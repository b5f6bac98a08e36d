"""The linters of deploy/, from `.venv-deploy`: how each is run on a copy, and faults that it must see."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support.projects import EXAMPLE

DEPLOY = EXAMPLE / "deploy"
BIN = EXAMPLE / ".venv-deploy" / "bin"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A change of one file that a tool must refuse, and the words by which it does."""

    file: str
    right: str
    wrong: str
    says: str

    def plant(self, folder: Path) -> None:
        """Change the file in a copy of deploy/."""
        file = folder / self.file
        text = file.read_text()
        assert self.right in text, f"{self.file} has no {self.right!r} any more"
        file.write_text(text.replace(self.right, self.wrong, 1))


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A linter: its arguments, where `*` stands for files; the folder in which it runs; and what it must see."""

    command: tuple[str, ...]
    folder: str
    faults: tuple[Fault, ...]

    def words(self, folder: Path) -> list[str]:
        """The command line in a copy of the tool's folder."""
        words = [str(BIN / self.command[0])]
        for word in self.command[1:]:
            words += [str(file.relative_to(folder)) for file in sorted(folder.glob(word))] if "*" in word else [word]
        return words


def copy_of_deploy(folder: Path) -> Path:
    """Copy deploy/, with its links, for a tool that writes beside what it reads, and for a fault."""
    return Path(shutil.copytree(DEPLOY, folder / "deploy", symlinks=True))


def _checkov(kind: str) -> tuple[str, ...]:
    # It would otherwise ask its maker's server for the rules' pages.
    return ("checkov", "--directory", ".", "--framework", kind, "--config-file", "checkov.yaml", "--quiet", "--compact",
            "--skip-download", "--skip-results-upload")  # fmt: skip


TOOLS = {
    "cfn-lint": Tool(
        command=(
            "cfn-lint",
            "--ignore-checks",
            "W3002",
            "--",
            "*.yaml",
        ),  # W3002: `aws cloudformation package` is needed
        folder="cloudformation",
        faults=(
            Fault(
                file="cloudformation/warehouse.yaml",
                right="MultiAZ:",
                wrong="MultiAz:",
                says="'MultiAz' was unexpected",
            ),
            Fault(
                file="cloudformation/main.yaml",
                right="        KeyPrefix: !Ref KeyPrefix\n",
                wrong="",
                says='parameter "KeyPrefix" is not specified',
            ),
        ),
    ),
    "kubernetes-validate": Tool(
        command=("kubernetes-validate", "--strict", "base/resources/*.yaml"),
        folder="kubernetes",
        faults=(
            Fault(
                file="kubernetes/base/resources/serve.yaml",
                right="readinessProbe:",
                wrong="readynessProbe:",
                says="readynessProbe",
            ),
            Fault(
                file="kubernetes/base/resources/push.yaml",
                right="backoffLimit: 2",
                wrong="backoffLimit: two",
                says="two",
            ),
        ),
    ),
    "hadolint": Tool(
        command=("hadolint", "*Dockerfile"),
        folder="docker",
        faults=(
            Fault(file="docker/Dockerfile", right="WORKDIR /project", wrong="WORKDIR project", says="DL3000"),
            Fault(
                file="docker/Dockerfile", right="RUN python3 -m venv", wrong="RUN apt-get install curl", says="DL3008"
            ),
        ),
    ),
    "ansible-lint": Tool(
        command=("ansible-lint", "--offline", "--profile", "production", "--strict"),
        folder="ansible",
        faults=(
            Fault(
                file="ansible/roles/feature_sync/tasks/push.yml",
                right='mode: "0600"',
                wrong="mode: 600",
                says="risky-octal",
            ),
        ),
    ),
    "ansible-playbook": Tool(
        command=("ansible-playbook", "--syntax-check", "--inventory", "inventory.example.yml", "playbook.yml"),
        folder="ansible",
        faults=(
            Fault(
                file="ansible/playbook.yml",
                right="role: feature_sync",
                wrong="role: feature_snyc",
                says="'feature_snyc' was not found",
            ),
        ),
    ),
    "checkov: dockerfile": Tool(
        command=_checkov("dockerfile"),
        folder=".",
        faults=(
            Fault(file="docker/project.Dockerfile", right="USER 10001:10001", wrong="USER root", says="CKV_DOCKER_8"),
        ),
    ),
    "checkov: kubernetes": Tool(
        command=_checkov("kubernetes"),
        folder=".",
        faults=(
            Fault(
                file="kubernetes/base/resources/push.yaml",
                right="readOnlyRootFilesystem: true",
                wrong="readOnlyRootFilesystem: false",
                says="CKV_K8S_22",
            ),
        ),
    ),
    "checkov: cloudformation": Tool(
        command=_checkov("cloudformation"),
        folder=".",
        faults=(
            Fault(
                file="cloudformation/warehouse.yaml",
                right="StorageEncrypted: true",
                wrong="StorageEncrypted: false",
                says="CKV_AWS_16",
            ),
        ),
    ),
    "checkov: terraform": Tool(
        command=_checkov("terraform"),
        folder=".",
        faults=(
            Fault(
                file="terraform/aws/redis.tf",
                right="transit_encryption_enabled = true",
                wrong="transit_encryption_enabled = false",
                says="CKV_AWS_30",
            ),
            Fault(
                file="terraform/google/artifacts.tf",
                right='public_access_prevention    = "enforced"',
                wrong='public_access_prevention    = "inherited"',
                says="CKV_GCP_114",
            ),
        ),
    ),
}
