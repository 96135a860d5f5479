"""Starts what functions need (Postgres and the vendors' stand-ins) and talks to what runs on top of it."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

ROOT = pathlib.Path(__file__).resolve().parents[2]


def say(text):
    print(f"-- {text}", flush=True)


def end_within(minutes):
    """Ends this program, and with it all that it has started, when it takes longer."""

    def too_long(*_):
        raise AssertionError(f"not done within {minutes} minutes")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(minutes * 60)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def process(arguments, log, environment=None, inherit=True):
    """A process that ends, with all it started, when the block does; its log is shown when the block fails."""
    env = {**(os.environ if inherit else {}), **(environment or {})}
    with open(log, "wb") as output:
        child = subprocess.Popen(
            [str(argument) for argument in arguments],
            cwd=ROOT,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield child
    except BaseException:
        text = pathlib.Path(log).read_text(errors="replace")
        print(f"--- the end of {log}\n{text[-6000:]}", file=sys.stderr)
        raise
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, how)
                child.wait(timeout=20)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def stand_ins():
    """Yields the folder for logs, where everything is, and the functions' settings."""
    with tempfile.TemporaryDirectory(prefix="darkroom-ci-") as folder:
        folder = pathlib.Path(folder)
        # Postgres refuses root and runs as another user then, who must get here.
        folder.chmod(0o755)
        ready, settings = folder / "ready.json", folder / "settings.env"
        command = [
            "cargo", "dev", "--stand-ins-only", "--port", "0", "--data-dir", folder / "data",
            "--ready-file", ready, "--write-env", settings,
        ]
        with process(command, folder / "stand-ins.log") as child:
            # As long as it takes to build them where nothing is built yet.
            wait_for("the stand-ins", lambda: ready.exists() or child.poll() is not None, seconds=600)
            if child.poll() is not None:
                raise SystemExit((folder / "stand-ins.log").read_text())
            lines = settings.read_text().splitlines()
            yield folder, json.loads(ready.read_text()), dict(line.split("=", 1) for line in lines)


def wait_for(what, condition, seconds=60):
    """Waits until a condition gives something, and gives that."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.2)


class Api:
    """An API at a base URL, called as one user."""

    def __init__(self, base, token=None, headers=None):
        self.base, self.headers = base, dict(headers or {})
        if token:
            self.headers["authorization"] = f"Bearer {token}"

    def call(self, method, path, body=None, **headers):
        """Status, headers and JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        for name, value in {**self.headers, **headers}.items():
            request.add_header(name.replace("_", "-"), value)
        if data is not None:
            request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return response.status, response.headers, parsed(response.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, parsed(error.read())

    def expect(self, status, method, path, body=None, **headers):
        """The JSON of an answer that must have this status."""
        found, _, answer = self.call(method, path, body, **headers)
        assert found == status, f"{method} {path}: {found}, not {status}: {answer}"
        return answer


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")


def fetch(url):
    """The bytes of a public URL."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read()
