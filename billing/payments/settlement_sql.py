"""The statements behind settlements: sets, never row by row."""

KEEP = """
INSERT INTO billing_settlementrow AS old (settlement_id, kind, entity_id, payment_id, dispute_id, amount_paise,
    credit_paise, debit_paise, fee_paise, tax_paise, is_on_hold, outcome, difference_paise)
SELECT s, k, e, p, d, a, c, b, f, t, h, '', 0
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::bigint[], %s::bigint[], %s::bool[]) AS r (s, k, e, p, d, a, c, b, f, t, h)
ON CONFLICT (kind, entity_id) DO UPDATE SET
    settlement_id = EXCLUDED.settlement_id, payment_id = EXCLUDED.payment_id, dispute_id = EXCLUDED.dispute_id,
    amount_paise = EXCLUDED.amount_paise, credit_paise = EXCLUDED.credit_paise, debit_paise = EXCLUDED.debit_paise,
    fee_paise = EXCLUDED.fee_paise, tax_paise = EXCLUDED.tax_paise, is_on_hold = EXCLUDED.is_on_hold, outcome = ''
WHERE old.settlement_id IS NULL OR old.is_on_hold AND NOT EXCLUDED.is_on_hold
"""

# what we have booked for the thing that a row names: (known, paise)
_OURS = """
    SELECT r.id, r.amount_paise, r.credit_paise, r.debit_paise, r.is_on_hold,
           CASE r.kind
             WHEN 'payment' THEN CASE WHEN p.credited_at IS NOT NULL THEN p.amount_paise END
             WHEN 'refund' THEN COALESCE(
                 (SELECT f.amount_paise FROM billing_refund f
                  WHERE f.refund_id = r.entity_id AND f.state = 'confirmed'),
                 (SELECT sum(t.amount_paise) FROM billing_ledgertransfer t
                  WHERE t.entry_key = 'refund:' || r.entity_id))
             ELSE (SELECT d.amount_paise FROM billing_paymentdispute d
                   WHERE d.dispute_id IN (r.entity_id, r.dispute_id) AND d.status = 'lost')
           END AS booked,
           NULLIF(p.fee_paise, 0) AS fee
    FROM billing_settlementrow r
    LEFT JOIN billing_gatewaypayment p ON r.kind = 'payment' AND p.payment_id = r.entity_id
    WHERE r.outcome <> 'matched' AND r.settlement_id IS NOT NULL
"""
JUDGE = f"""
UPDATE billing_settlementrow row SET
    looked_at = %(now)s,
    outcome = CASE WHEN o.is_on_hold THEN 'on_hold' WHEN o.booked IS NULL THEN 'unknown_to_us'
                   WHEN o.difference <> 0 THEN 'amount_differs' ELSE 'matched' END,
    difference_paise = COALESCE(o.difference, 0)
FROM (
    SELECT id, is_on_hold, booked,
           CASE WHEN booked IS NULL THEN NULL
                WHEN amount_paise <> booked THEN amount_paise - booked
                WHEN fee IS NOT NULL AND credit_paise > 0 THEN credit_paise + fee - booked
                WHEN credit_paise = 0 THEN debit_paise - booked
                ELSE 0 END AS difference
    FROM ({_OURS}) ours
) o WHERE row.id = o.id
"""  # noqa: S608

MISSING = """
INSERT INTO billing_settlementrow (settlement_id, kind, entity_id, payment_id, dispute_id, amount_paise, credit_paise,
    debit_paise, fee_paise, tax_paise, is_on_hold, outcome, difference_paise, looked_at)
SELECT NULL, 'payment', p.payment_id, p.payment_id, '', p.amount_paise, 0, 0, 0, 0, false, 'missing', -p.amount_paise,
       %(now)s
FROM billing_gatewaypayment p
WHERE p.credited_at < %(before)s AND NOT EXISTS (
    SELECT 1 FROM billing_settlementrow r WHERE r.kind = 'payment' AND r.entity_id = p.payment_id)
ON CONFLICT (kind, entity_id) DO NOTHING
"""

FIND_IN_BANK = """
UPDATE billing_settlement s SET
    bank_line_id = b.id, state = CASE WHEN b.amount_paise = s.amount_paise THEN 'matched' ELSE 'differs' END
FROM billing_bankline b
WHERE s.posted_at IS NOT NULL AND s.bank_line_id IS NULL AND s.utr <> '' AND b.reference = s.utr
"""
NOT_IN_BANK = """
UPDATE billing_settlement SET state = 'missing'
WHERE posted_at IS NOT NULL AND bank_line_id IS NULL AND amount_paise > 0 AND settled_at < %(before)s
"""

# what lies in suspense still is settled for us when it leaves it
NOT_SETTLED_YET = """
WITH settled AS (SELECT r.kind, r.entity_id, r.dispute_id FROM billing_settlementrow r
                 JOIN billing_settlement s ON s.id = r.settlement_id
                 WHERE s.posted_at IS NOT NULL AND r.suspense_paise = 0)
SELECT COALESCE((SELECT sum(p.amount_paise) FROM billing_gatewaypayment p WHERE p.credited_at IS NOT NULL
                 AND p.payment_id NOT IN (SELECT entity_id FROM settled WHERE kind = 'payment')), 0)
     - COALESCE((SELECT sum(f.amount_paise) FROM billing_refund f WHERE f.state = 'confirmed'
                 AND f.refund_id NOT IN (SELECT entity_id FROM settled WHERE kind = 'refund')), 0)
     - COALESCE((SELECT sum(t.amount_paise) FROM billing_ledgertransfer t WHERE t.entry_key LIKE 'refund:rfnd%'
                 AND substr(t.entry_key, 8) NOT IN (SELECT entity_id FROM settled WHERE kind = 'refund')), 0)
     - COALESCE((SELECT sum(d.amount_paise) FROM billing_paymentdispute d WHERE d.status = 'lost'
                 AND NOT EXISTS (SELECT 1 FROM settled WHERE d.dispute_id IN (entity_id, dispute_id))), 0)
"""
