"""Nightly looks at a bounded sample of rows, for what counts of single columns cannot show."""
