# The nearest free CCS2 plugs of 30 kW and more. Send the ETag again and an unchanged answer costs nothing (304).
import os

import httpx

api = httpx.Client(base_url=os.environ["BASE"], headers={"Authorization": f"Bearer {os.environ['KEY']}"})
wanted = {"near": "12.9716,77.5946", "plug": "ccs2", "min_kw": "30", "available": "true", "limit": "3"}
answer = api.get("/api/v1/stations/", params=wanted).raise_for_status()
for station in answer.json()["results"]:
    print(station["name"], station["distance_m"], "m", station["connectors_available"], "free")

again = api.get("/api/v1/stations/", params=wanted, headers={"If-None-Match": answer.headers["ETag"]})
print(again.status_code)
