#!/usr/bin/env python3
"""A mail worker on Celery and Redis: any number of them, on any number of machines.

    celery -A celery_worker worker --pool=threads --concurrency=8
    celery_worker.py enqueue FROM TO MESSAGE...
    celery_worker.py unknown

The first command runs a worker, which sends over a pool of connections; the second puts
finished messages from files into the queue; the third lists the messages of which
nobody knows whether they were delivered, for somebody to look at.

The environment says where things are: REDIS_URL (redis://localhost:6379/0), SMTP_HOST,
SMTP_PORT, SMTP_USER, SMTP_PASSWORD. VISIBILITY_TIMEOUT is after how many seconds Redis gives
a task whose worker has vanished to another one; it must be longer than a message can
take, and so longer than the limits of the pool's connections.

A message is never lost: its task is acknowledged only after its outcome is known and
written down. It is never doubled either: before it is sent, the worker writes down that
it will be. If a worker vanishes in the middle, the one that gets the task next finds
that note, and cannot know how far the first one came: it reports the message as unknown
instead of sending it again.
"""

import base64
import json
import os
import sys
import threading
import uuid
from pathlib import Path

import redis
from celery import Celery
from celery.exceptions import MaxRetriesExceededError

try:
    import smtpclient
except ModuleNotFoundError:
    # From a checkout, the package need not be installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bindings" / "python"))
    import smtpclient

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
# For how long what became of a message is remembered, in seconds.
MEMORY = 7 * 24 * 3600
MOST_TRIES = int(os.environ.get("MOST_TRIES", "12"))
FIRST_PAUSE = float(os.environ.get("FIRST_PAUSE", "10"))

app = Celery("mail", broker=REDIS_URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    # A worker that vanishes holds up no more than what it was sending.
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": float(os.environ.get("VISIBILITY_TIMEOUT", "3600"))},
    broker_connection_retry_on_startup=True,
)
store = redis.Redis.from_url(REDIS_URL)

_pool = None
_pool_lock = threading.Lock()


def pool():
    """The pool of this process, made when it is first needed: not before a fork."""
    global _pool
    with _pool_lock:
        if _pool is None:
            properties = {"host": os.environ.get("SMTP_HOST", "localhost"), "port": int(os.environ.get("SMTP_PORT", "25"))}
            if "SMTP_USER" in os.environ:
                properties.update(user=os.environ["SMTP_USER"], password=os.environ.get("SMTP_PASSWORD", ""))
            # A message may take five minutes, and no longer.
            _pool = smtpclient.Pool(**properties, timeout=300_000, connections=8)
        return _pool


def note(key, state, **facts):
    """Writes down what became of a message, and keeps what somebody has to look at."""
    entry = json.dumps({"message": key, "state": state, **facts})
    with store.pipeline(transaction=True) as pipeline:
        pipeline.set(f"mail:{key}", state, ex=MEMORY)
        if state == "accepted":
            # It was only thought to be lost.
            pipeline.hdel("mail:unknown", key)
        else:
            pipeline.hset(f"mail:{state}", key, entry)
        pipeline.execute()


@app.task(bind=True, name="mail.deliver", max_retries=MOST_TRIES)
def deliver(self, key, sender, recipients, content):
    """Sends one message, given as Base64; key is the same however often the task is run."""
    # One step, so that of two workers with the same task only one goes on.
    if not store.set(f"mail:{key}", "sending", nx=True, ex=MEMORY):
        if store.get(f"mail:{key}") == b"sending":
            note(key, "unknown", why="the worker that was sending it vanished")
        # Everything else was decided by an earlier run, which was not acknowledged.
        return
    try:
        pool().submit(sender, recipients, base64.b64decode(content), wait=None).result()
        note(key, "accepted")
    except smtpclient.SmtpError as error:
        if error.outcome == smtpclient.OUTCOME_UNKNOWN:
            note(key, "unknown", why=str(error))
        elif error.outcome == smtpclient.OUTCOME_REJECTED_PERMANENT or isinstance(error, smtpclient.CallerError):
            note(key, "rejected", why=str(error))
        else:
            try_later(self, key, error)


def try_later(task, key, error):
    """Has a message sent again that certainly was not taken."""
    if task.request.retries >= MOST_TRIES:
        note(key, "failed", why=str(error))
        return
    # From here on anybody may send it.
    store.delete(f"mail:{key}")
    pause = min(FIRST_PAUSE * 2**task.request.retries, 3600)
    raise task.retry(countdown=pause, exc=MaxRetriesExceededError(str(error)))


def enqueue(sender, recipients, content, key=None):
    """Puts a message into the queue; gives the key by which it is known."""
    key = key or str(uuid.uuid4())
    deliver.delay(key, sender, recipients, base64.b64encode(content).decode())
    return key


def main():
    if len(sys.argv) >= 5 and sys.argv[1] == "enqueue":
        for path in sys.argv[4:]:
            print(enqueue(sys.argv[2], sys.argv[3], Path(path).read_bytes()), path, sep="\t")
        return 0
    if sys.argv[1:] == ["unknown"]:
        for entry in store.hvals("mail:unknown"):
            facts = json.loads(entry)
            print(facts["message"], facts["why"], sep="\t")
        return 0
    print("Usage: celery_worker.py enqueue FROM TO MESSAGE... | unknown", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
