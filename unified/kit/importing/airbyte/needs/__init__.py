"""What each stream of a manifest needs of an engine, and how much of a folder of manifests runs with what."""
