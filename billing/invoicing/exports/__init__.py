"""For the accountant: Tally, Zoho Books, GSTR-1, the general ledger and the trial balance."""
