"""Commands on who may enter: members, API tokens, sign-in links."""
