"""Tax documents: who is billed by which registration, numbers, invoices, vouchers, notes, the close of a month."""
