"""Where providers deliver webhooks: limits, signatures, group commit."""
