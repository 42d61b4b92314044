# Live status of every CCS2 plug. Whatever breaks, go on from the last cursor: nothing is missed, nothing comes twice.
import json
import os
import time

import httpx

cursor = os.environ.get("CURSOR", "")
while True:
    headers = {"Authorization": f"Bearer {os.environ['KEY']}", "Last-Event-ID": cursor}
    try:
        with httpx.stream(
            "GET", f"{os.environ['BASE']}/api/v1/stream/", params={"plug": "ccs2"}, headers=headers, timeout=60
        ) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    message = json.loads(line.removeprefix("data: "))
                    for change in message.get("changes", ()):
                        print(change["connector"], change["old"], change["status"], flush=True)
                    cursor = message["cursor"]
    except httpx.TransportError:
        time.sleep(2)
