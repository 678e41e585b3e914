"""PostgreSQL and Redis of Debian, and Azurite of npm, each on a free port of the loopback address and with new data.

Belongs here: starting and ending them. PostgreSQL and Redis refuse root, so root starts them as another user.
"""

from __future__ import annotations

import base64
import hmac
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from threading import Thread

import httpx

POSTGRES_FOLDERS = Path("/usr/lib/postgresql")
TEMPORARY = Path("/tmp")
"""A folder that the other user can enter; the folders of pytest are closed."""
USER = "nobody"
"""Who owns the services when root starts them."""
PASSWORD = "p4ssw0rd-of-the-tests"
AZURITE = Path(__file__).parents[2] / ".azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account of every Azurite, and its public key."""
AZURE_VERSION = "2024-11-04"


class MissingServiceError(Exception):
    """A package of Debian or npm is not installed."""


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server: any password of `dagster` is right."""

    port: int
    folder: Path

    def create_database(self, name: str, template: str = "template1") -> None:
        _run_as_user(
            [_find_postgres("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "dagster", "-T", template, name]
        )

    @property
    def is_running(self) -> bool:
        """Whether it runs: no test has stopped it."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off"
        self._control("-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self._control("-m", mode, "stop")

    def require_password(self, user: str) -> None:
        """Let a user of any database log in with its password only."""
        path = self.folder / "data" / "pg_hba.conf"
        path.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{path.read_text()}")
        self._control("reload")

    def _control(self, *arguments: str) -> None:
        _run_as_user([_find_postgres("pg_ctl"), "-D", str(self.folder / "data"), *arguments])


def _find_postgres(program: str) -> str:
    paths = sorted(POSTGRES_FOLDERS.glob(f"*/bin/{program}"))
    if not paths:
        raise MissingServiceError(f"{program} is missing: run `apt-get install postgresql`")
    return str(paths[-1])


def _find_redis() -> str:
    path = shutil.which("redis-server")
    if path is None:
        raise MissingServiceError("redis-server is missing: run `apt-get install redis-server`")
    return path


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serve_postgres() -> Iterator[Postgres]:
    """Run a new PostgreSQL cluster until the block ends."""
    initdb, port = _find_postgres("initdb"), find_free_port()
    with _open_folder() as folder:
        _run_as_user([initdb, "-D", str(folder / "data"), "-U", "dagster", "--auth=trust", "--no-sync"])
        server = Postgres(port, folder)
        server.start()
        try:
            yield server
        finally:
            if server.is_running:
                server.stop("immediate")


@contextmanager
def serve_redis() -> Iterator[str]:
    """Run Redis without a file until the block ends; yield its address, with the password."""
    program, port = _find_redis(), find_free_port()
    with _open_folder() as folder:
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--requirepass", PASSWORD]
        command += ["--dir", str(folder), "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, user=_choose_user()) as process:
            assert process.stdout is not None
            assert any("Ready to accept connections" in line for line in process.stdout), "Redis did not start"
            try:
                yield f"redis://:{PASSWORD}@127.0.0.1:{port}"
            finally:
                process.terminate()


@dataclass(frozen=True)
class Azurite:
    """A stand-in of Azure's blob storage, whose conditions are atomic."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Azure's tools find this endpoint."""
        names = {"ACCOUNT_NAME": AZURE_ACCOUNT, "ACCOUNT_KEY": AZURE_KEY, "ENDPOINT": self.endpoint}
        return {f"AZURE_STORAGE_{name}": value for name, value in names.items()}

    def create_container(self, name: str) -> None:
        """Create a container: obstore has no function for it."""
        date, version = formatdate(usegmt=True), AZURE_VERSION
        resource = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
        text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
        digest = hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), "sha256")
        signature = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
        headers = {"authorization": signature, "x-ms-date": date, "x-ms-version": version}
        url = f"{self.endpoint}/{name}"
        httpx.put(url, params={"restype": "container"}, headers=headers, trust_env=False).raise_for_status()


@contextmanager
def serve_azurite() -> Iterator[Azurite]:
    """Run Azurite in memory until the block ends."""
    program = shutil.which("node")
    if program is None or not AZURITE.exists():
        raise MissingServiceError(
            "Azurite is missing: run `make distributed`, which needs `apt-get install nodejs npm`"
        )
    port = find_free_port()
    command = [program, str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    with subprocess.Popen([*command, "--skipApiVersionCheck"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("successfully listen" in line for line in process.stdout), "Azurite did not start"
        drain = Thread(target=process.stdout.read, name="azurite")  # it logs each request
        drain.start()
        try:
            yield Azurite(f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}")
        finally:
            process.kill()  # nothing of it lasts; it ends by itself after minutes
            drain.join()


@contextmanager
def _open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lms-service-", dir=TEMPORARY))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        yield folder
    finally:
        shutil.rmtree(folder)


def _choose_user() -> str | None:
    return USER if os.geteuid() == 0 else None


def _run_as_user(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=TEMPORARY, user=_choose_user()
    )
    assert done.returncode == 0, done.stderr.decode()
