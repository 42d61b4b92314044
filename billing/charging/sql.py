"""The statements by which many charges reach the books. Locks in the house's order: holds, limits, wallets."""

from billing.limits.sql import MOVE
from billing.services.low_wallets import CROSSES

# Before anything is locked: what was posted already, and what each wallet could pay when the holds are free.
KNOWN = "SELECT DISTINCT entry_key FROM billing_ledgertransfer WHERE entry_key = ANY(%(entries)s)"
SPENDABLE = """
SELECT w.organisation_id, w.posted_paise - w.held_paise + w.credit_limit_paise + COALESCE((
    SELECT sum(h.amount_paise) FROM billing_hold h
    WHERE h.session_key = ANY(%(keys)s) AND h.state = 'active' AND h.wallet_id = w.account_id), 0)::bigint
FROM billing_wallet w WHERE w.organisation_id = ANY(%(organisations)s)
"""
HOLDS = """
SELECT session_key, id, wallet_id, amount_paise, energy_wh,
       ARRAY(SELECT (each->>'id')::bigint FROM jsonb_array_elements(COALESCE(limits->'usages', '[]')) each)
FROM billing_hold WHERE session_key = ANY(%(keys)s) AND state = 'active' ORDER BY id FOR NO KEY UPDATE
"""
# after the holds are locked: who opens a limit's period then waits for them, and counts what is charged here
LIMITED = "SELECT DISTINCT organisation_id FROM billing_spendlimit WHERE organisation_id = ANY(%(organisations)s)"
PRICE = """
UPDATE billing_cdr c SET
    tariff_id = p.tariff, negotiated_rate_id = p.rate, included_wh = 0, taxable_paise = p.taxable,
    tax_paise = p.cgst + p.sgst + p.igst, cgst_paise = p.cgst, sgst_paise = p.sgst, igst_paise = p.igst,
    total_paise = p.taxable + p.cgst + p.sgst + p.igst, explanation = p.explanation::jsonb, rated_at = %(now)s,
    captured_at = %(now)s
FROM unnest(%(ids)s::bigint[], %(tariffs)s::bigint[], %(rates)s::bigint[], %(taxable)s::bigint[], %(cgst)s::bigint[],
            %(sgst)s::bigint[], %(igst)s::bigint[], %(explanations)s::text[])
    AS p (id, tariff, rate, taxable, cgst, sgst, igst, explanation)
WHERE c.id = p.id
"""
USAGES = "SELECT id FROM billing_limitusage WHERE id = ANY(%(usages)s) ORDER BY id FOR NO KEY UPDATE"
WALLETS = """
SELECT organisation_id, account_id, posted_paise - held_paise + credit_limit_paise FROM billing_wallet
WHERE organisation_id = ANY(%(organisations)s) ORDER BY account_id FOR NO KEY UPDATE
"""
CLOSE = "UPDATE billing_hold SET state = 'captured', closed_at = %(now)s WHERE id = ANY(%(holds)s)"
MOVED = f"""
{MOVE.format(out_paise="m.out_paise", out_wh="m.out_wh", in_paise="m.in_paise", in_wh="m.in_wh")}
FROM unnest(%(usages)s::bigint[], %(out_paise)s::bigint[], %(out_wh)s::bigint[], %(in_paise)s::bigint[],
            %(in_wh)s::bigint[]) AS m (id, out_paise, out_wh, in_paise, in_wh)
WHERE u.id = m.id
"""
FREE = f"""
UPDATE billing_wallet w SET held_paise = w.held_paise - m.freed
FROM unnest(%(accounts)s::bigint[], %(freed)s::bigint[], %(totals)s::bigint[]) AS m (account_id, freed, total)
WHERE w.account_id = m.account_id
RETURNING w.organisation_id, w.posted_paise - m.total, w.held_paise,
          w.posted_paise - w.held_paise + w.credit_limit_paise - m.total,
          {CROSSES.format(wallet="w", available="(w.posted_paise - w.held_paise + w.credit_limit_paise - m.total)")}
"""  # noqa: S608
# the trigger moves the wallets once for all of them
LEGS = """
INSERT INTO billing_ledgertransfer (entry_key, leg, debit_id, credit_id, amount_paise, currency, kind, memo,
    organisation_id, session_id, vehicle_id, driver_ref, location_id, cost_centre, request_hash, actor, occurred_at,
    recorded_at)
SELECT l.entry, l.leg, l.debit, l.credit, l.paise, l.currency, l.kind, l.memo, l.organisation, l.session, l.vehicle,
       l.driver, l.location, l.centre, l.hash, 'system', l.at, %(recorded)s
FROM unnest(%(entry)s::text[], %(leg)s::smallint[], %(debit)s::bigint[], %(credit)s::bigint[], %(paise)s::bigint[],
            %(currency)s::text[], %(kind)s::text[], %(memo)s::text[], %(organisation)s::bigint[], %(session)s::bigint[],
            %(vehicle)s::bigint[], %(driver)s::uuid[], %(location)s::bigint[], %(centre)s::text[], %(hash)s::text[],
            %(at)s::timestamptz[])
    AS l (entry, leg, debit, credit, paise, currency, kind, memo, organisation, session, vehicle, driver, location,
          centre, hash, at)
"""
