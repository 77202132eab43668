"""What every connector is made of: the contract, HTTP, reading, writing, webhooks. Nothing here knows a system."""
