"""The QuickBooks Online adapter; its README says what it reads and how."""
