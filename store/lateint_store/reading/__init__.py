"""Fetching documents, scanning a store, finding damage."""
