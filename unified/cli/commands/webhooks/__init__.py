"""Commands on webhook endpoints and on what they received."""
