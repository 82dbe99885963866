"""New stores of the documents of others: merged, or in other codecs."""
