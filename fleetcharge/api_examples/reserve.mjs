// What 20 kWh would cost at a plug, then a promise of that plug. Repeat the request with the same Idempotency-Key
// as often as the network makes you: it reserves once.
const { BASE, KEY, CONNECTOR, VEHICLE } = process.env;
const headers = { Authorization: `Bearer ${KEY}` };
const wanted = new URLSearchParams({ connector: CONNECTOR, energy_wh: 20000, duration_s: 1800 });
const [quote] = await (await fetch(`${BASE}/api/v1/quotes/?${wanted}`, { headers })).json();
console.log("Rs", quote.is_priced ? quote.total_paise / 100 : "?");

const once = { ...headers, "Idempotency-Key": crypto.randomUUID(), "Content-Type": "application/json" };
const body = JSON.stringify({ vehicle_id: Number(VEHICLE), connector_public_id: CONNECTOR, minutes: 30 });
for (let attempt = 0; attempt < 2; attempt++) {
  const answer = await fetch(`${BASE}/api/v1/reservations/`, { method: "POST", headers: once, body });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  console.log((await answer.json()).number, answer.headers.get("Idempotent-Replayed") ?? "false");
}
