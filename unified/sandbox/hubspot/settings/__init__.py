"""What the administrators of a portal set up: its users, who own records, and objects of its own."""
