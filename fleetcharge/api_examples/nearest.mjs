// The nearest free CCS2 plugs of 30 kW and more. Send the ETag again and an unchanged answer costs nothing (304).
const { BASE, KEY } = process.env;
const url = `${BASE}/api/v1/stations/?near=12.9716,77.5946&plug=ccs2&min_kw=30&available=true&limit=3`;
const headers = { Authorization: `Bearer ${KEY}` };
const answer = await fetch(url, { headers });
if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
for (const station of (await answer.json()).results)
  console.log(station.name, station.distance_m, "m", station.connectors_available, "free");

const again = await fetch(url, { headers: { ...headers, "If-None-Match": answer.headers.get("ETag") } });
console.log(again.status);
