"""The HubSpot adapter; its README says what it reads, writes and how."""
