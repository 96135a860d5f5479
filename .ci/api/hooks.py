"""What Schemathesis cannot know from the document: how to ask for images by the thousand, for what is there, and for streams."""

import itertools
import re
import uuid

import schemathesis

MAKING = ("/ai/generate", "/ai/edit", "/ai/generated-images/{image_id}/regenerate")
count = itertools.count()
# An image and a dataset of the user's, once there are some.
known = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    number = next(count)
    headers, body = case.headers, case.body
    if case.path in MAKING:
        # The key of the example: a request with another body would be refused for it.
        if headers.get("Idempotency-Key") == "order-7":
            headers["Idempotency-Key"] = f"order-{number}"
        # One in eight waits for its image.
        headers.setdefault("Prefer", "respond-async" if number % 8 else "wait=30")
        # Runs wait for each other here, and one that waits too long is a 504, as it should be.
        if is_time(headers.get("Cancel-After", "")):
            headers["Cancel-After"] = "24h"
    # What the document does not allow stays as it is.
    if case.path in MAKING and isinstance(body, dict):
        # Small pictures are drawn in no time.
        if body.get("resolution", "2K") in ("2K", "4K"):
            body["resolution"] = "1K"
        # An id that was made up leads nowhere; one in four does.
        if number % 4:
            body.update({name: there for name, there in known.items() if is_id(body.get(name))})
    if case.path.endswith("/events") and number % 3 == 0:
        headers["Accept"] = "text/event-stream"


@schemathesis.hook
def after_call(context, case, response):
    if case.path in MAKING and response.status_code == 200:
        known["image_id"] = response.json()["id"]
    if (case.method, case.path) == ("POST", "/ai/datasets") and response.status_code == 201:
        known["dataset_id"] = response.json()["id"]


def is_time(text):
    """Whether this is a time that `Cancel-After` takes."""
    found = re.fullmatch(r"\s*([0-9]{1,6})([smh]?)\s*", text)
    return bool(found) and 0 < int(found[1]) * {"m": 60, "h": 3600}.get(found[2], 1) <= 86_400


def is_id(text):
    try:
        return str(uuid.UUID(text)) == text
    except (ValueError, TypeError, AttributeError):
        return False
