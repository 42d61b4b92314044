"""The statements behind bills: sets, never row by row; each of some lines, `first` to `last`, or of some days."""

# every record of a network that was booked: at first, as its credit, or afresh after one
_BOOKED = """(
    SELECT roaming_cdr_id AS record_id, id AS cdr_id, session_id, organisation_id FROM billing_cdr
    WHERE roaming_cdr_id IS NOT NULL
    UNION ALL
    SELECT a.roaming_cdr_id, c.id, c.session_id, c.organisation_id FROM billing_cdradjustment a
    JOIN billing_cdr c ON c.id = a.cdr_id WHERE a.roaming_cdr_id IS NOT NULL
)"""

# the credit `k` that took the record `r` back
_CREDIT = """billing_cdradjustment x JOIN stations_roamingcdr k ON k.id = x.roaming_cdr_id AND k.is_credit
    WHERE x.cdr_id = c.cdr_id
      AND lower(k.country_code || '*' || k.party_id || '*' || k.credit_reference) = lower(r.key)"""

# what was guessed when it was compared before
FORGET = """
UPDATE billing_networkbillrow SET roaming_cdr_id = NULL, session_id = NULL, record_wh = NULL, record_paise = NULL,
    meter_wh = NULL, is_guessed = false
WHERE bill_id = %(bill)s AND line BETWEEN %(first)s AND %(last)s AND is_guessed
"""

# by record id, session id or authorization reference of the network, whatever its letters; of several records of one
# session that whose amount it is, else the one in force
FIND = f"""
WITH names AS (
    SELECT r.id, n.name, n.rank, round(COALESCE(r.total_after_taxes, r.total_before_taxes) * 100) AS paise,
           r.is_credit OR EXISTS (SELECT 1 FROM {_CREDIT}) AS is_over
    FROM stations_roamingcdr r JOIN {_BOOKED} c ON c.record_id = r.id AND c.organisation_id = %(organisation)s
    CROSS JOIN LATERAL (VALUES (lower(r.key), 1), (lower(split_part(r.key, '*', 3)), 2), (lower(r.session_ref), 3),
                               (lower(r.authorization_reference), 4)) AS n (name, rank)
    WHERE r.source_id = %(source)s AND n.name <> ''
), told AS (
    SELECT DISTINCT ON (b.id) b.id, n.id AS cdr
    FROM billing_networkbillrow b JOIN names n ON n.name = lower(b.reference)
    WHERE b.bill_id = %(bill)s AND b.line BETWEEN %(first)s AND %(last)s
    ORDER BY b.id, n.rank, (n.paise IS NOT DISTINCT FROM b.total_paise) DESC, n.is_over, n.id
)
UPDATE billing_networkbillrow b SET roaming_cdr_id = t.cdr, is_guessed = false FROM told t WHERE b.id = t.id
"""  # noqa: S608

# what the bill names under no id of the network's: the same start (a minute), and the same energy; two lines may mean
# the same record, so that one that was found like this does not count
GUESS = f"""
WITH told AS (
    SELECT b.id, min(r.id) AS cdr, count(*) AS fits
    FROM billing_networkbillrow b JOIN stations_roamingcdr r ON r.source_id = %(source)s AND NOT r.is_credit
         AND r.started_at BETWEEN b.started_at - interval '60 seconds' AND b.started_at + interval '60 seconds'
         AND r.energy_wh = b.energy_wh
    JOIN {_BOOKED} c ON c.record_id = r.id AND c.organisation_id = %(organisation)s
    WHERE b.bill_id = %(bill)s AND b.line BETWEEN %(first)s AND %(last)s
      AND b.roaming_cdr_id IS NULL AND b.started_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {_CREDIT})
      AND NOT EXISTS (SELECT 1 FROM billing_networkbillrow o
                      WHERE o.bill_id = %(bill)s AND o.roaming_cdr_id = r.id AND NOT o.is_guessed)
    GROUP BY b.id
)
UPDATE billing_networkbillrow b SET roaming_cdr_id = t.cdr, is_guessed = true FROM told t
WHERE b.id = t.id AND t.fits = 1
"""  # noqa: S608

# the meter: of our own charger where it is one, else what the network's own session said when it was completed; what
# was taken back is worth nothing where no line gives it back, and a credit is about money alone
FILL = f"""
UPDATE billing_networkbillrow b SET session_id = c.session_id,
    record_wh = CASE WHEN NOT r.is_credit THEN r.energy_wh END,
    record_paise = CASE WHEN EXISTS (SELECT 1 FROM {_CREDIT} AND NOT EXISTS (
            SELECT 1 FROM billing_networkbillrow o JOIN billing_networkbill ob ON ob.id = o.bill_id
            WHERE o.roaming_cdr_id = k.id AND o.line > 0 AND ob.organisation_id = %(organisation)s
              AND (ob.id = %(bill)s OR NOT ob.is_draft)))
        THEN 0 ELSE round(COALESCE(r.total_after_taxes, r.total_before_taxes) * 100) END,
    meter_wh = CASE WHEN r.is_credit THEN NULL
                    WHEN s.charger_id IS NOT NULL AND s.meter_stop_wh IS NOT NULL AND s.is_meter_start_reported
                    THEN s.meter_stop_wh - s.meter_start_wh ELSE rs.energy_wh END
FROM stations_roamingcdr r JOIN {_BOOKED} c ON c.record_id = r.id
JOIN billing_chargingsession s ON s.id = c.session_id
LEFT JOIN stations_roamingsession rs ON rs.source_id = r.source_id AND r.session_ref <> '' AND rs.status = 'COMPLETED'
     AND lower(rs.key) = lower(r.country_code || '*' || r.party_id || '*' || r.session_ref)
WHERE b.bill_id = %(bill)s AND b.line BETWEEN %(first)s AND %(last)s AND b.roaming_cdr_id = r.id
"""  # noqa: S608

JUDGE = """
WITH named AS (
    SELECT COALESCE('record ' || roaming_cdr_id, 'name ' || lower(reference)) AS name, min(line) AS first
    FROM billing_networkbillrow WHERE bill_id = %(bill)s AND line > 0 GROUP BY 1
), seen AS (
    SELECT b.id, b.line > n.first OR EXISTS (
               SELECT 1 FROM billing_networkbillrow o JOIN billing_networkbill ob ON ob.id = o.bill_id
               WHERE o.roaming_cdr_id = b.roaming_cdr_id AND o.bill_id <> b.bill_id AND o.line > 0
                 AND ob.organisation_id = %(organisation)s AND NOT ob.is_draft) AS is_twice
    FROM billing_networkbillrow b JOIN named n
      ON n.name = COALESCE('record ' || b.roaming_cdr_id, 'name ' || lower(b.reference))
    WHERE b.bill_id = %(bill)s AND b.line BETWEEN %(first)s AND %(last)s
)
UPDATE billing_networkbillrow b SET
    outcome = CASE
        WHEN s.is_twice THEN 'billed_twice'
        WHEN b.roaming_cdr_id IS NULL THEN 'unknown_to_us'
        WHEN b.record_paise IS NOT NULL AND b.total_paise <> b.record_paise THEN 'amount_differs'
        WHEN b.energy_wh IS NOT NULL AND b.energy_wh <> b.record_wh THEN 'energy_differs'
        WHEN b.meter_wh IS NOT NULL AND abs(b.record_wh - b.meter_wh) > GREATEST(b.meter_wh * 2 / 100, 100)
            THEN 'meter_differs'
        ELSE 'agrees' END,
    difference_paise = CASE
        WHEN s.is_twice OR b.roaming_cdr_id IS NULL THEN b.total_paise
        ELSE COALESCE(b.total_paise - b.record_paise, 0) END
FROM seen s WHERE s.id = b.id
"""

# records of these days that no bill names, and that were not taken back
MISSING = f"""
INSERT INTO billing_networkbillrow (bill_id, line, reference, started_at, energy_wh, total_paise, roaming_cdr_id,
    session_id, record_wh, record_paise, outcome, difference_paise, is_guessed)
SELECT %(bill)s, 0, left(r.key, 60), r.started_at, NULL, 0, r.id, c.session_id, r.energy_wh,
       round(COALESCE(r.total_after_taxes, r.total_before_taxes) * 100), 'missing',
       -round(COALESCE(r.total_after_taxes, r.total_before_taxes, 0) * 100), false
FROM stations_roamingcdr r JOIN {_BOOKED} c ON c.record_id = r.id AND c.organisation_id = %(organisation)s
WHERE r.source_id = %(source)s AND NOT r.is_credit AND r.ended_at >= %(since)s AND r.ended_at < %(until)s
  AND NOT EXISTS (SELECT 1 FROM {_CREDIT})
  AND NOT EXISTS (SELECT 1 FROM billing_networkbillrow b JOIN billing_networkbill o ON o.id = b.bill_id
                  WHERE b.roaming_cdr_id = r.id AND b.line > 0 AND o.organisation_id = %(organisation)s
                    AND (o.id = %(bill)s OR NOT o.is_draft))
"""  # noqa: S608

# credits that came in these days and that no bill names, of what a bill before this one asked for and was not held
# against it then: the network owes that
MISSING_CREDITS = f"""
INSERT INTO billing_networkbillrow (bill_id, line, reference, started_at, energy_wh, total_paise, roaming_cdr_id,
    session_id, record_wh, record_paise, outcome, difference_paise, is_guessed)
SELECT %(bill)s, 0, left(r.key, 60), r.started_at, NULL, 0, r.id, c.session_id, NULL,
       round(COALESCE(r.total_after_taxes, r.total_before_taxes) * 100), 'missing',
       -round(COALESCE(r.total_after_taxes, r.total_before_taxes, 0) * 100), false
FROM stations_roamingcdr r JOIN {_BOOKED} c ON c.record_id = r.id AND c.organisation_id = %(organisation)s
WHERE r.source_id = %(source)s AND r.is_credit AND r.received_at >= %(since)s AND r.received_at < %(until)s
  AND EXISTS (SELECT 1 FROM billing_networkbillrow b JOIN billing_networkbill o ON o.id = b.bill_id
              JOIN stations_roamingcdr w ON w.id = b.roaming_cdr_id
              WHERE lower(w.key) = lower(r.country_code || '*' || r.party_id || '*' || r.credit_reference)
                AND w.source_id = r.source_id AND b.session_id = c.session_id AND b.line > 0 AND b.record_paise > 0
                AND b.outcome <> 'billed_twice'
                AND o.organisation_id = %(organisation)s AND o.id <> %(bill)s AND NOT o.is_draft)
  AND NOT EXISTS (SELECT 1 FROM billing_networkbillrow b JOIN billing_networkbill o ON o.id = b.bill_id
                  WHERE b.roaming_cdr_id = r.id AND o.organisation_id = %(organisation)s
                    AND (o.id = %(bill)s OR NOT o.is_draft))
"""  # noqa: S608
