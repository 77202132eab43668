"""A stand-in from a declaration: tables, how their lists are divided, and the provider's own words for errors.

`table` declares a kind of record and keeps its rows, `account` holds the tables behind one key and makes the changes,
`listing` filters, orders and divides, `api` serves it all. Not here: a system (`unified.sandbox.chargebee` is one).
"""
