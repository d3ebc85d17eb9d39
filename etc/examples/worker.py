#!/usr/bin/env python3
"""A worker for rtmpd (type = worker): one JSON line per event on stdin, one answer per event on stdout."""

import json
import sys

for line in sys.stdin:
    task = json.loads(line)
    event = task["event"]
    try:
        print(event["type"], event["stream_key"], task["attempt"], file=sys.stderr)  # your work goes here
        answer = f"ack {task['id']}"
    except OSError:
        answer = f"retry {task['id']} 5"
    except ValueError as error:
        answer = f"dead {task['id']} {' '.join(str(error).split())}"
    print(answer, flush=True)
