# The nearest free CCS2 plugs of 30 kW and more. Send the ETag again and an unchanged answer costs nothing (304).
curl -sS -D headers.txt -H "Authorization: Bearer $KEY" \
  "$BASE/api/v1/stations/?near=12.9716,77.5946&plug=ccs2&min_kw=30&available=true&limit=3"
ETAG=$(sed -n 's/^[Ee][Tt]ag: //p' headers.txt | tr -d '\r')
curl -sS -o /dev/null -w '\n%{http_code}\n' -H "Authorization: Bearer $KEY" -H "If-None-Match: $ETAG" \
  "$BASE/api/v1/stations/?near=12.9716,77.5946&plug=ccs2&min_kw=30&available=true&limit=3"
