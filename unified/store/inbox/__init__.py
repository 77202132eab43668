"""The durable queue of received events, and what is kept of them."""
