"""Starts the local stack and lets Schemathesis loose on it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cloud"))
from stand_ins import ROOT, process, say, wait_for  # noqa: E402

FOLDER = ROOT / "target/ci/schemathesis-run"
# A limit that is never reached, so that its headers are answered.
SETTINGS = {"USER_DAILY_IMAGES": "1000000", "AWS_LAMBDA_LOG_LEVEL": "WARN"}


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    ready, log = FOLDER / "ready.json", FOLDER / "stack.log"
    command = ["cargo", "dev", "--port", "0", "--data-dir", FOLDER / "data", "--ready-file", ready]
    with process(command, log, SETTINGS) as child:
        wait_for("the stack", lambda: ready.exists() or child.poll() is not None, seconds=1800)
        if child.poll() is not None:
            raise SystemExit(log.read_text())
        stack = json.loads(ready.read_text())
        say(f"the stack is at {stack['api_url']}")
        status = subprocess.run(
            [
                "st", "--config-file", ROOT / ".ci/api/schemathesis.toml", "run", ROOT / "docs/openapi.yaml",
                "--url", stack["api_url"], "--no-color", *sys.argv[1:],
            ],
            env={**os.environ, "DARKROOM_TOKEN": stack["user"]["token"], "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=ROOT / ".ci/api",
        ).returncode
        # With the end of the stack's log where it failed.
        assert status == 0, f"Schemathesis ended with {status}"


main()
