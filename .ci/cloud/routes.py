"""The routes of template.yaml, and that each is answered by its function."""

import re
import uuid

import yaml

from stand_ins import ROOT, say


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (!Ref, !Sub, …) as nothing: routes have none."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def routes():
    """Method and path of every route, in the order of the template."""
    template = yaml.load((ROOT / "template.yaml").read_text(), Loader)
    for resource in template["Resources"].values():
        for event in (resource.get("Properties") or {}).get("Events", {}).values():
            if event["Type"] == "Api":
                yield event["Properties"]["Method"].upper(), event["Properties"]["Path"]


def check_every_route(api):
    """Calls every route with ids that nobody has. A function's answer has a request id, a front's own has none."""
    count = 0
    for method, path in routes():
        url = re.sub(r"\{\w+\}", lambda _: str(uuid.uuid4()), path)
        body = {} if method in ("POST", "PUT", "PATCH") else None
        status, headers, answer = api.call(method, url, body)
        assert status < 500 and "x-request-id" in headers, f"{method} {path}: {status} {answer}"
        if status >= 400:
            assert answer["code"] and answer["instance"], f"{method} {path}: {status} {answer}"
        count += 1
    assert count > 10, count
    say(f"all {count} routes are answered by their functions")
