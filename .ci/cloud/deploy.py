"""Deploys template.yaml, whole, to an AWS emulator with the real SAM CLI, and runs the main job over its API Gateway."""

import json
import os
import platform
import subprocess
import sys
import time
import urllib.error
import urllib.request

import boto3

from routes import check_every_route
from stand_ins import ROOT, Api, end_within, fetch, free_port, process, say, stand_ins, wait_for

PORT = free_port()
AWS = f"http://127.0.0.1:{PORT}"
STACK = "darkroom-ci"
SECRET = "darkroom/ci"
ACCOUNT = {
    "AWS_ENDPOINT_URL": AWS,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "SAM_CLI_TELEMETRY": "0",
}


def main():
    end_within(minutes=12)
    os.environ.update(ACCOUNT)
    with stand_ins() as (folder, ready, settings):
        emulator = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(PORT), "SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0"}
        with process([sys.executable, ROOT / ".ci/cloud/aws.py"], folder / "aws.log", emulator):
            wait_for("the emulator", is_up)
            run(ready, settings)


def is_up():
    try:
        urllib.request.urlopen(f"{AWS}/_ministack/health", timeout=1)
        return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def certificate():
    """What stands between the lines of a certificate: nobody's here, but it must come through whole."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=ci -days 2 -keyout /dev/null"
    done = subprocess.run(command.split(), text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return "".join(line for line in done.stdout.splitlines() if not line.startswith("-----"))


def run(ready, settings):
    settings = {**settings, "DATABASE_CA_CERT": f"{certificate()},{certificate()}"}
    names = ["DATABASE_URL", "SUPABASE_SECRET_KEY", "OPENAI_API_KEY", "ABLY_API_KEY"]
    secret = json.dumps({name: settings[name] for name in names})
    boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString=secret)

    began = time.monotonic()
    output = deploy(settings)
    say(f"deployed in {time.monotonic() - began:.0f} s")
    assert "Successfully created" in output, output
    stack = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    buffer_streams(outputs["ApiId"])

    base = f"{AWS}/dev"
    host = {"Host": f"{outputs['ApiId']}.execute-api.localhost:{PORT}"}
    user = Api(base, ready["user"]["token"], host)
    other = Api(base, ready["other_user"]["token"], host)
    anybody = Api(base, None, host)
    made = main_job(user, other, anybody)
    check_every_route(user)
    schedule_and_dead_letters(outputs)
    say("a second deploy")
    output = deploy(settings)
    assert "No changes to deploy" in output, output[-6000:]
    assert user.expect(200, "GET", f"/ai/generated-images/{made['id']}")["id"] == made["id"]
    say("all is well")


def deploy(settings):
    parameters = {
        "Stage": "dev",
        "Architecture": "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64",
        "SecretName": SECRET,
        "DatabaseCaCert": settings["DATABASE_CA_CERT"],
        "SupabaseUrl": settings["SUPABASE_URL"],
        "OpenAiBaseUrl": settings["OPENAI_BASE_URL"],
        "AblyBaseUrl": settings["ABLY_BASE_URL"],
        "SqsEndpointUrl": AWS,
        "ResponseMode": "buffered",
    }
    command = ["sam", "deploy", "--template-file", "template.yaml", "--stack-name", STACK, "--resolve-s3"]
    command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
    command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def buffer_streams(api):
    """The emulator does not know integrations that stream: their routes are set back to the usual ones."""
    client = boto3.client("apigateway")
    found = 0
    for resource in client.get_resources(restApiId=api, limit=500)["items"]:
        for method in resource.get("resourceMethods") or {}:
            where = {"restApiId": api, "resourceId": resource["id"], "httpMethod": method}
            uri = client.get_integration(**where).get("uri") or ""
            if "response-streaming-invocations" not in uri:
                continue
            arn = uri.split("/functions/")[1].split("/")[0]
            region = ACCOUNT["AWS_REGION"]
            plain = f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{arn}/invocations"
            client.update_integration(**where, patchOperations=[{"op": "replace", "path": "/uri", "value": plain}])
            found += 1
    say(f"{found} streaming routes set back to buffered")
    assert found >= 2


def main_job(user, other, anybody):
    say("generate, through SQS")
    began = time.monotonic()
    made = user.expect(200, "POST", "/ai/generate", {"prompt": "a lighthouse at dusk", "resolution": "1K"})
    say(f"an image in {time.monotonic() - began:.1f} s")
    picture = fetch(made["image_url"])
    assert picture.startswith(b"\x89PNG"), picture[:16]
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (made["width"], made["height"])

    say("list, get, runs, events, token")
    listed = user.expect(200, "GET", "/ai/generated-images?limit=5")
    assert [image["id"] for image in listed["images"]] == [made["id"]]
    assert user.expect(200, "GET", f"/ai/generated-images/{made['id']}")["image_url"] == made["image_url"]
    assert other.expect(200, "GET", "/ai/generated-images")["count"] == 0
    other.expect(404, "GET", f"/ai/generated-images/{made['id']}")
    run = user.expect(200, "GET", f"/ai/runs/{made['run_id']}")
    assert run["status"] == "succeeded", run
    events = user.expect(200, "GET", f"/ai/runs/{made['run_id']}/events")
    assert [event["name"] for event in events["events"]][0] == "ai.image.run.started"
    token = user.expect(200, "POST", "/api/realtime/token")
    assert token["provider"] == "ably" and token["token"]
    anybody.expect(401, "POST", "/api/realtime/token")

    say("what is refused")
    problem = user.expect(400, "POST", "/ai/generate", {"promt": "x"})
    assert problem["type"].startswith("urn:darkroom:problem:"), problem
    Api(user.base, "no.such.token", {"Host": user.headers["Host"]}).expect(401, "GET", "/ai/generated-images")
    _, headers, _ = user.call("GET", "/ai/generated-images", Origin="https://app.example")
    assert headers["access-control-allow-origin"] == "*", dict(headers)
    # The emulator answers preflights without the headers that the template gives them.
    assert anybody.call("OPTIONS", "/ai/generate", Origin="https://app.example")[0] in (200, 204)
    return made


def schedule_and_dead_letters(outputs):
    say("a poisoned message")
    queues = boto3.client("sqs")
    # On AWS it comes again every hour and a half; here it may not take so long until it has come too often.
    queues.set_queue_attributes(QueueUrl=outputs["QueueUrl"], Attributes={"VisibilityTimeout": "1"})
    queues.send_message(QueueUrl=outputs["QueueUrl"], MessageBody="this is no job")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def letters():
        url = outputs["DeadLetterQueueUrl"]
        attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    wait_for("the dead letter", letters, seconds=120)

    say("the schedule: the sweep takes the letter away")
    wait_for("the sweep", lambda: letters() == 0, seconds=180)
    waiting = queues.get_queue_attributes(QueueUrl=outputs["QueueUrl"], AttributeNames=names)["Attributes"]
    assert all(int(waiting[name]) == 0 for name in names), waiting


main()
