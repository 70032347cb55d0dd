"""What running costs: one command each, a line of JSON for each measurement, then a table. See README.md."""
