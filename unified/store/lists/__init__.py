"""Lists of what is stored: customers, invoices, events, other records and identities, page by page."""
