"""The Jira adapter; its README says what it reads and how."""
