"""Ways to read a stream: windows, paging, changes."""
