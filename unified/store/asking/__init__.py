"""What is kept of questions to a model: the tokens of a day, and the last answer about each stream."""
