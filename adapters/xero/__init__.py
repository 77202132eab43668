"""The Xero adapter; its README says what it reads and how."""
