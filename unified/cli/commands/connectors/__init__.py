"""`unified connectors`: which systems can be connected, and documents that add to them."""
