# What 20 kWh would cost at a plug, then a promise of that plug. Repeat the request with the same Idempotency-Key
# as often as the network makes you: it reserves once.
curl -sS -H "Authorization: Bearer $KEY" \
  "$BASE/api/v1/quotes/?connector=$CONNECTOR&energy_wh=20000&duration_s=1800"
ONCE=$(cat /proc/sys/kernel/random/uuid)
for ATTEMPT in 1 2; do
  curl -sS -H "Authorization: Bearer $KEY" -H "Idempotency-Key: $ONCE" -H "Content-Type: application/json" \
    -d "{\"vehicle_id\": $VEHICLE, \"connector_public_id\": \"$CONNECTOR\", \"minutes\": 30}" "$BASE/api/v1/reservations/"
done
