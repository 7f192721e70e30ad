"""One file a row of the table; each has `measure(lab)`, which yields records."""
