"""Stored raw records mapped anew, without a request to their source: at once (`remap`), or on trial (`trials`)."""
