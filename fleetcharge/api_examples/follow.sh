# Live status of every CCS2 plug. `id:` is the cursor: send the last one as Last-Event-ID and nothing is missed.
curl -sSN -H "Authorization: Bearer $KEY" -H "Last-Event-ID: $CURSOR" "$BASE/api/v1/stream/?plug=ccs2"
