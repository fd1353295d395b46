"""Servers that tests start on loopback: S3, Google Cloud Storage, PostgreSQL, MLflow, and a relay that disturbs one."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import postgres_programs

REGION = "us-east-1"


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 120.0) -> None:
    """Wait until something listens."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        assert process.poll() is None and time.monotonic() < end, f"no server on port {port}"
        time.sleep(0.05)


def http_error(status: str, body: bytes = b"") -> bytes:
    """Return the answer of a web server that refuses, for `Relay.answer`."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


SLOW_DOWN = http_error(
    "503 Slow Down", b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
"""What S3 answers to too many requests."""


class Relay:
    """Passes connections on to a port, and disturbs them.

    Attributes:
        port: where it listens; the same each time that it is opened.
        delay: seconds before each part of what the server says is passed on.
        answer: what is said to every request instead of passing it on; None passes it on. Set it with `answer_with`.
    """

    def __init__(self, target: int) -> None:
        self._target, self.port = target, free_port()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self.delay, self.answer = 0.0, None

    answer: bytes | None

    def open(self) -> None:
        """Accept connections."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections, and cut those that are there."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut the connections that are there; new ones are accepted."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Accept connections and requests, and pass no answer on, as a server that stands still."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Pass on what was held back."""
        self._flowing.set()

    def answer_with(self, answer: bytes | None) -> None:
        """Answer every request with the same bytes from now on; None asks the server again."""
        self.answer = answer
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            if self.answer is not None:
                threading.Thread(target=self._refuse, args=(near, self.answer), daemon=True).start()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # the server is away: the client's connection is cut
                near.close()
                continue
            self._open |= {near, far}
            threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()

    def _refuse(self, near: socket.socket, answer: bytes) -> None:
        with contextlib.suppress(OSError), near:
            request = b""
            while b"\r\n\r\n" not in request and (part := near.recv(65536)):
                request += part
            near.sendall(answer)
            near.shutdown(socket.SHUT_WR)
            while near.recv(65536):  # a connection that is closed with unread bytes loses the answer
                pass

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=self._copy, args=(far, near, True), daemon=True)
        back.start()
        self._copy(near, far)
        back.join()
        for one in (near, far):
            self._open.discard(one)
            one.close()

    def _copy(self, source: socket.socket, sink: socket.socket, answers: bool = False) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                if answers:
                    self._flowing.wait()
                    time.sleep(self.delay)
                sink.sendall(part)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def has_s3() -> bool:
    """Return True if moto's server is installed."""
    return importlib.util.find_spec("moto") is not None and importlib.util.find_spec("flask_cors") is not None


class S3Server:
    """An S3 server with one bucket, ``runs``, behind a relay. It keeps objects while its process lives."""

    def __init__(self) -> None:
        self._port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self._port, self._process)
        self.relay = Relay(self._port)
        self.relay.open()
        self._request("PUT", "/runs")

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead a process to the server."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.relay.port}",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextlib.contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """Refuse keys of which the server knows no user; otherwise it accepts any."""
        self._request("POST", "/moto-api/reset-auth", b"0")
        try:
            yield
        finally:
            self._request("POST", "/moto-api/reset-auth", b"inf")

    def _request(self, method: str, path: str, body: bytes = b"") -> None:
        from urllib.request import Request, urlopen

        headers = {"Content-Type": "text/plain"}
        with urlopen(
            Request(f"http://127.0.0.1:{self._port}{path}", data=body, method=method, headers=headers)
        ) as answer:
            assert answer.status == 200

    def stop(self) -> None:
        """End the server."""
        self.relay.close()
        self._process.kill()
        self._process.wait()


def has_folder_s3() -> bool:
    """Return True if the S3 server that keeps its objects in a folder is installed: npm install -g s3rver."""
    return shutil.which("s3rver") is not None


class FolderS3Server(S3Server):
    """An S3 server that keeps its objects in a folder, so that its process may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._port, self._folder = free_port(), folder
        folder.mkdir(parents=True)
        self.start()
        self.relay = Relay(self._port)
        self.relay.open()

    def start(self) -> None:
        """Start the process, on the port that it had before."""
        command = ["s3rver", "--directory", str(self._folder / "objects"), "--address", "127.0.0.1"]
        command += ["--port", str(self._port), "--no-vhost-buckets", "--allow-mismatched-signatures", "--silent"]
        command += ["--configure-bucket", "runs"]
        (self._folder / "objects").mkdir(exist_ok=True)
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for_port(self._port, self._process)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead a process to the server, which takes no upload in chunks with a checksum at its end."""
        checksums = ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION")
        keys = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}
        return super().environment | keys | dict.fromkeys(checksums, "when_required")

    def kill(self) -> None:
        """Kill the process; the objects stay."""
        self._process.kill()
        self._process.wait()


def has_gcs() -> bool:
    """Return True if the emulator of Google Cloud Storage is installed."""
    return importlib.util.find_spec("gcp_storage_emulator") is not None


class GcsServer:
    """A server of Google Cloud Storage with one bucket, ``runs``."""

    def __init__(self) -> None:
        self.port = free_port()
        code = (
            "import sys; from gcp_storage_emulator.server import create_server; "
            "create_server('127.0.0.1', int(sys.argv[1]), in_memory=True, default_bucket='runs').run()"
        )
        command = [sys.executable, "-c", code, str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self._process)

    def stop(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait()


def lacks_postgres() -> str | None:
    """Return what a PostgreSQL server lacks here, and how to get it; None if it can run."""
    if importlib.util.find_spec("psycopg") is None:
        return "needs PostgreSQL's driver: pip install 'psycopg[binary]'"
    return postgres_programs.missing()


class MlflowServer:
    """An MLflow server with a SQLite file and its artifacts in a folder, behind a relay."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        folder.mkdir(parents=True)
        self.relay = Relay(self._port)
        self.start()
        self.relay.open()

    @property
    def url(self) -> str:
        """Address behind the relay."""
        return f"http://127.0.0.1:{self.relay.port}"

    def start(self) -> None:
        """Start the server and wait for it."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_for_port(self._port, self._process)

    def stop(self) -> None:
        """Kill the server and its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class PostgresServer:
    """A PostgreSQL server with one database, ``study``."""

    def __init__(self, folder: Path) -> None:
        programs, user = postgres_programs.server_programs(), postgres_programs.server_user()
        assert programs is not None
        folder.mkdir(parents=True)
        self._folder, self._user, self._port = folder, user, free_port()
        self._programs = postgres_programs.executable_programs(programs, folder)
        if user is not None:
            shutil.chown(folder, user)
        self._data = folder / "data"
        self._run("initdb", "-D", str(self._data), "-E", "UTF8", "--auth=trust", "--no-locale", "-N", "-U", "study")
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", "study", "study")

    @property
    def port(self) -> int:
        """Where the server listens."""
        return self._port

    @property
    def url(self) -> str:
        """URL of the database."""
        return self.url_at(self._port)

    def url_at(self, port: int, database: str = "study") -> str:
        """URL of a database behind another port, such as a relay's."""
        return f"postgresql+psycopg://study@127.0.0.1:{port}/{database}"

    def execute(self, *statements: str) -> None:
        """Execute statements as the owner of the server."""
        import psycopg

        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def set_read_only(self, on: bool) -> None:
        """Make every later write an error, as after a failover to a standby; or end that."""
        self.execute(
            f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}", "SELECT pg_reload_conf()"
        )

    def start(self) -> None:
        """Start the server and wait for it."""
        options = f"-c listen_addresses=127.0.0.1 -p {self._port} -c unix_socket_directories= -c fsync=off"
        self._run(
            "pg_ctl", "-D", str(self._data), "-w", "-t", "120", "-l", str(self._folder / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        """Stop the server and cut its connections."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        # no pipes: the server inherits them and would keep them open
        null, user = subprocess.DEVNULL, postgres_programs.run_as(self._user)
        subprocess.run(command, check=True, cwd="/", stdout=null, stderr=null, **user)
