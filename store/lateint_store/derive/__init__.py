"""Create new stores from the documents of existing ones: merge shards, recode with other codecs."""
