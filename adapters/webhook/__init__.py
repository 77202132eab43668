"""The generic webhook; its README says what it takes and how."""
