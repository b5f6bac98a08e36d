"""Images as Debian's buildah builds them, and their containers, whose root file system is read-only."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.projects import EXAMPLE

BASE = EXAMPLE / ".image-base"
BASE_IMAGE = "localhost/base:debian"
DOCKER = EXAMPLE / "deploy" / "docker"
_EXTRAS = "feature-sync[server,duckdb]"
_WANTED_BY_OLDER_PYTHONS = "async-timeout"
"""By Debian 12's 3.11.2, which may not be the Python of the tests."""
_READ_ONLY = """
root=$1 user=$2 project=$3; shift 3
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
[ ! -d "$root/work" ] || mount -t tmpfs -o "mode=700,uid=${user%:*},gid=${user#*:}" tmpfs "$root/work"
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --no-new-privs \
    --bounding-set=-all --inh-caps=-all sh -c 'cd "$1"; shift; exec "$@"' sh "$project" "$@"
"""
"""What Kubernetes does of it: readOnlyRootFilesystem, two volumes, runAsUser, no capabilities, no new privileges."""


class Images:
    """A store of images of its own, with the base image in it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="images"))
        self._driver = "overlay"
        try:
            self.run("info")
        except AssertionError:  # no overlay in this sandbox; copying each layer takes three times as long
            self._driver = "vfs"
        self._containers: dict[str, Container] = {}
        self._build(BASE_IMAGE, BASE / "Dockerfile", BASE)

    def close(self) -> None:
        self.run("umount", "--all")
        self.run("rm", "--all")
        shutil.rmtree(self.folder)

    def run(self, *arguments: str) -> str:
        """Run buildah, and return what it prints."""
        where = ["--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")]
        command = ["buildah", *where, "--storage-driver", self._driver, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def build(self, target: str) -> Container:
        """Build one of the two images of the repository, of wheels alone, once."""
        if target in self._containers:
            return self._containers[target]
        context = self.folder / "context"
        if not context.exists():
            make_context(context)
        settings = [f"PYTHON_IMAGE={BASE_IMAGE}", "PIP_NO_INDEX=1", "WAREHOUSE=duckdb", "VERSION=tested"]
        arguments = [text for setting in settings for text in ("--build-arg", setting)]
        self._build(f"localhost/{target}", DOCKER / "Dockerfile", context, *arguments, "--target", target)
        container = self._containers[target] = Container(self, f"localhost/{target}")
        return container

    def build_project(self, project: Path) -> Container:
        """Build the image of a dbt project, on top of `job`."""
        shutil.copy(DOCKER / "project.dockerignore", project / ".dockerignore")
        arguments = ("--build-arg", "JOB_IMAGE=localhost/job")
        self._build("localhost/project", DOCKER / "project.Dockerfile", project, *arguments)
        return Container(self, "localhost/project")

    def _build(self, name: str, file: Path, context: Path, *arguments: str) -> None:
        common = ("--isolation", "chroot", "--format", "docker", "--pull-never", "--layers")
        self.run("build", *common, "--tag", name, "--file", str(file), *arguments, str(context))


class Container:
    """A container of an image: what its configuration says, and its processes."""

    def __init__(self, images: Images, image: str) -> None:
        self._images = images
        self._name = images.run("from", "--pull-never", image)
        self.settings = json.loads(images.run("inspect", image))["Docker"]["config"]
        self.root = Path(images.run("mount", self._name))

    def run(self, *command: str) -> str:
        """Run a command as buildah does, as the user that the image names; the file system may be written."""
        return self._images.run("run", "--isolation", "chroot", self._name, "--", *command)

    def read_only(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command as the image's user, without capabilities, where only /tmp and /work can be written.

        Args:
            command: Without it, what the image runs by itself.
            environment: Beside what the image sets; nothing of the tests' own gets in.
        """
        asked = command or [*(self.settings.get("Entrypoint") or []), *self.settings["Cmd"]]
        variables = dict(setting.split("=", 1) for setting in self.settings["Env"]) | environment
        folder = self.settings.get("WorkingDir") or "/"
        script = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _READ_ONLY, "sh"]
        return subprocess.Popen(
            [*script, str(self.root), self.settings["User"], folder, *asked],
            env=variables,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


def make_context(folder: Path) -> None:
    """Write what the images are built of: the wheel of this repository, all others beside it, and the versions."""
    shutil.copytree(DOCKER, folder / "deploy" / "docker")
    for name in ("constraints.txt", ".dockerignore"):
        shutil.copy(EXAMPLE / name, folder)
    dist = folder / "dist"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel = [*pip, "wheel", "--no-deps", "--wheel-dir", str(dist), str(EXAMPLE)]
    wanted = [_EXTRAS, "dbt-core", "dbt-duckdb", _WANTED_BY_OLDER_PYTHONS]
    download = [*pip, "download", "--only-binary", ":all:", "--dest", str(dist), "--find-links", str(dist)]
    for command in (wheel, [*download, "--constraint", str(EXAMPLE / "constraints.txt"), *wanted]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
