"""Serves every endpoint with `cargo lambda watch`, and runs the worker with `cargo lambda invoke` on a file of tests/events/."""

import json
import re
import subprocess

from routes import check_every_route
from stand_ins import ROOT, Api, end_within, fetch, free_port, process, say, stand_ins, wait_for

PORT = str(free_port())


def main():
    end_within(minutes=12)
    with stand_ins() as (folder, ready, _):
        settings = folder / "settings.env"
        doctor(folder, settings)
        watch = ["cargo", "lambda", "watch", "-A", "127.0.0.1", "-P", PORT, "--env-file", settings, "--ignore-changes"]
        with process(watch, folder / "watch.log"):
            user = Api(f"http://127.0.0.1:{PORT}", ready["user"]["token"])
            # The first request of each function builds it.
            wait_for("cargo lambda watch", lambda: answers(user), seconds=600)
            endpoints(folder, user, Api(user.base))


def doctor(folder, settings):
    say("cargo doctor, with the settings as they are and with one that is wrong")
    findings = subprocess.run(["cargo", "doctor", "--env-file", settings], cwd=ROOT, text=True, capture_output=True, timeout=600)
    assert findings.returncode == 0 and "WRONG" not in findings.stdout, findings.stdout + findings.stderr
    wrong = folder / "wrong.env"
    wrong.write_text(re.sub("OPENAI_API_KEY=.*", "OPENAI_API_KEY=sk-invalid", settings.read_text()))
    findings = subprocess.run(["cargo", "doctor", "--env-file", wrong], cwd=ROOT, text=True, capture_output=True, timeout=60)
    complaints = [line for line in findings.stdout.splitlines() if line.startswith("WRONG")]
    assert findings.returncode == 1 and len(complaints) == 1 and "OPENAI_API_KEY" in complaints[0], findings.stdout


def answers(user):
    try:
        return user.call("GET", "/ai/generated-images")[0] == 200
    except OSError:
        return False


def endpoints(folder, user, anybody):
    say("generate, without waiting")
    status, headers, accepted = user.call("POST", "/ai/generate", {"prompt": "a fox in snow", "resolution": "1K"}, Prefer="respond-async")
    assert status == 202 and headers["location"], (status, accepted)
    run_id = accepted["run_id"]

    say("the worker, invoked with a message")
    event = json.loads((ROOT / "tests/events/worker.json").read_text())
    body = json.loads(event["Records"][0]["body"])
    event["Records"][0]["body"] = json.dumps({**body, "run_id": run_id})
    file = folder / "worker.json"
    file.write_text(json.dumps(event))
    assert invoke("worker", file) == {"batchItemFailures": []}
    batch = invoke("worker", ROOT / "tests/events/worker-batch.json")
    failed = [failure["itemIdentifier"] for failure in batch["batchItemFailures"]]
    assert failed == ["2e1424d4-f796-459a-8184-9c92662be6da"], batch

    say("what it has made")
    run = user.expect(200, "GET", f"/ai/runs/{run_id}")
    assert run["status"] == "succeeded", run
    image = user.expect(200, "GET", "/ai/generated-images")["images"][0]
    assert fetch(image["image_url"]).startswith(b"\x89PNG")
    assert user.expect(200, "GET", f"/ai/generated-images/{image['id']}")["id"] == image["id"]
    assert len(user.expect(200, "GET", "/ai/runs")["runs"]) == 1
    events = user.expect(200, "GET", f"/ai/runs/{run_id}/events")["events"]
    assert events[-1]["name"] == "ai.image.run.completed", events
    user.expect(409, "POST", f"/ai/runs/{run_id}/cancel")
    assert user.expect(200, "POST", "/api/realtime/token")["token"]
    assert user.expect(200, "GET", "/api/realtime/token")["token"]
    anybody.expect(401, "GET", "/api/realtime/token")
    assert invoke("sweep", ROOT / "tests/events/sweep.json")["dry_run"] is True
    assert invoke("list", ROOT / "tests/events/list.json")["statusCode"] == 200
    check_every_route(user)
    say("all is well")


def invoke(function, file):
    command = ["cargo", "lambda", "invoke", function, "--invoke-address", "127.0.0.1", "--invoke-port", PORT, "--data-file", str(file)]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


main()
