"""What is counted and compared among stored records, and the counts that are kept."""
