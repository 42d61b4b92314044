# What 20 kWh would cost at a plug, then a promise of that plug. Repeat the request with the same Idempotency-Key
# as often as the network makes you: it reserves once.
import os
import uuid

import httpx

api = httpx.Client(base_url=os.environ["BASE"], headers={"Authorization": f"Bearer {os.environ['KEY']}"})
connector, vehicle = os.environ["CONNECTOR"], int(os.environ["VEHICLE"])
[quote] = api.get("/api/v1/quotes/", params={"connector": connector, "energy_wh": 20_000, "duration_s": 1_800}).json()
print("Rs", quote["total_paise"] / 100 if quote["is_priced"] else "?")

once = {"Idempotency-Key": str(uuid.uuid4())}
wish = {"vehicle_id": vehicle, "connector_public_id": connector, "minutes": 30}
for _ in range(2):
    answer = api.post("/api/v1/reservations/", json=wish, headers=once).raise_for_status()
    print(answer.json()["number"], answer.headers.get("Idempotent-Replayed", "false"))
