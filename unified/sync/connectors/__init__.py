"""Connector documents: checked, tried on recorded exchanges, installed, compared, upgraded, removed."""
