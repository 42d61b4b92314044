"""Indian goods and services tax: numbers, places, heads, e-invoices. Pure: no Django in here."""
