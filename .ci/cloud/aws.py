"""Runs the AWS emulator, with two things that CloudFormation does for the template and that the emulator leaves out.

It replaces {{resolve:secretsmanager:NAME:SecretString:KEY:LABEL}} by a key of a secret, and gives queues their redrive policies.
"""

import json
import re
import sys

from ministack import app
from ministack.services import secretsmanager, sqs
from ministack.services.cloudformation import provisioners, stacks

REFERENCE = re.compile(r"\{\{resolve:secretsmanager:([^:}]+):SecretString:([^:}]+):([^:}]+)\}\}")


def secret(match):
    name, key, label = match.groups()
    status, _, body = secretsmanager._get_secret_value({"SecretId": name, "VersionStage": label})
    if status != 200:
        raise ValueError(f"the secret {name} cannot be read: {body!r}")
    return json.loads(json.loads(body)["SecretString"])[key]


def with_secrets(value):
    if isinstance(value, str):
        return REFERENCE.sub(secret, value)
    if isinstance(value, list):
        return [with_secrets(item) for item in value]
    if isinstance(value, dict):
        return {name: with_secrets(item) for name, item in value.items()}
    return value


resolve = stacks._resolve_refs
stacks._resolve_refs = lambda *arguments: with_secrets(resolve(*arguments))

queues = provisioners._RESOURCE_HANDLERS["AWS::SQS::Queue"]
create = queues["create"]


def create_with_redrive(logical_id, properties, stack):
    url, attributes = create(logical_id, properties, stack)
    if "RedrivePolicy" in properties:
        sqs._queues[url]["attributes"]["RedrivePolicy"] = json.dumps(properties["RedrivePolicy"])
    return url, attributes


queues["create"] = create_with_redrive

sys.exit(app.main())
