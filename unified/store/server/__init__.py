"""The PostgreSQL server: its URL, roles, pools and failures; and the embedded one, its programs, start and end."""
