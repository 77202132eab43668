"""Commands on what was pulled: queries, mapping rules, identities."""
