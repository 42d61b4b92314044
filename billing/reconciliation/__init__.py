"""Verdicts over rows: gathered in sets, judged by pure rules, stored once, worked on in chunks."""
