"""Pages of connectors themselves: the marketplace, and the builder of documents."""
