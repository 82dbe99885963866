"""The demo corpus: documentation of the Python standard library, and questions with judgements."""
