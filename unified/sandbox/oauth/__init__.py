"""OAuth 2.0 for stand-ins: `server` has what all providers offer; each stand-in says where it is and what it adds."""
